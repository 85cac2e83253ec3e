// node-postgres: queued queries, named statements, cursors, COPY streams, a pool.
'use strict'

const { once } = require('events')
const { pipeline } = require('stream/promises')
const { Readable, Writable } = require('stream')
const pg = require('pg')
const copy = require('pg-copy-streams')
const Cursor = require('pg-cursor')
const tap = require('tap')

const config = { ssl: tap.tls, connectionTimeoutMillis: 10000, enableChannelBinding: true }

async function connect (more) {
  const client = new pg.Client({ ...config, ...more })
  client.on('error', () => {}) // a connection that ends while nobody asks it anything
  await client.connect()
  return client
}

async function value (client, ...query) {
  const { rows } = await client.query(...query)
  return Object.values(rows[0])[0]
}

/** Runs with as many clients as the function has parameters, and closes them. */
function using (body, more) {
  return async () => {
    const clients = await Promise.all(Array.from({ length: body.length }, () => connect(more)))
    await body(...clients)
    await Promise.all(clients.map(client => client.end()))
  }
}

tap.run([
  ['connects with SCRAM, bound to its TLS channel', using(async client => {
    tap.same(await value(client, 'SELECT current_user::text'), 'app')
    await client.query('DROP TABLE IF EXISTS np; CREATE TABLE np (id int PRIMARY KEY, note text)')
  })],

  ['types, on replicas and in a transaction', using(async client => {
    const at = new Date('2024-02-29T23:59:59.999Z')
    for (const transaction of [false, true]) {
      if (transaction) await client.query('BEGIN')
      const values = [-2147483648, tap.horse, 0.1, true, Buffer.from([0, 1, 255]), null]
      const text = 'SELECT $1::int4, $2::text, $3::float8, $4::bool, $5::bytea, $6::text'
      tap.same((await client.query({ text, values, rowMode: 'array' })).rows, [values])
      const { rows } = await client.query('SELECT $1::timestamptz a, $2::jsonb b, $3::int[] c, $4::int8 d',
        [at, { a: [1, null] }, [1, null, 3], '9223372036854775807'])
      tap.same(rows, [{ a: at, b: { a: [1, null] }, c: [1, null, 3], d: '9223372036854775807' }])
    }
    await client.query('COMMIT')
  })],

  ['transactions and savepoints', using(async (client, other) => {
    await client.query("BEGIN; INSERT INTO np VALUES (1, 'kept'); SAVEPOINT s")
    await tap.fails('23505', client.query('INSERT INTO np VALUES ($1, $2)', [1, 'twice']))
    await tap.fails('25P02', client.query('SELECT 1'))
    await client.query('ROLLBACK TO s')
    await client.query('INSERT INTO np VALUES ($1, $2)', [2, 'kept'])
    await client.query('COMMIT')
    tap.same(await value(client, 'SELECT count(*)::int FROM np'), 2)
    await other.query('BEGIN')
    tap.same(await value(other, 'SELECT count(*)::int FROM np'), 2)
    await other.query('COMMIT')
  })],

  ['prepared statements over transactions and server connections', using(async (a, b, c, d, e, f) => {
    const crowd = [a, b, c, d, e, f]
    const pids = crowd.map(() => new Set())
    const mine = (index, n) => ({
      name: 'mine', text: `SELECT $1::int + ${index} AS n, pg_backend_pid() AS pid FROM np WHERE id = 1`, values: [n]
    })
    for (let turn = 0; turn < 8; turn++) {
      for (const [index, client] of crowd.entries()) {
        await client.query('BEGIN')
        const { rows: [{ n, pid }] } = await client.query(mine(index, turn * 100))
        tap.same(n, turn * 100 + index)
        pids[index].add(pid)
      }
      for (const index of crowd.keys()) await crowd[(turn + index) % 6].query('COMMIT')
    }
    for (const [index, client] of crowd.entries()) tap.same(await value(client, mine(index, 7)), 7 + index)
    tap.same(pids.some(seen => seen.size > 1), tap.pooled)
  })],

  ['many queries without waiting, with errors between', using(async client => {
    const answers = await Promise.allSettled(Array.from({ length: 300 }, (_, n) =>
      value(client, 'SELECT 1000 / $1::int', [n % 100])))
    for (const [n, answer] of answers.entries()) {
      if (n % 100 === 0) tap.same(answer.reason.code, '22012')
      else tap.same(answer.value, Math.trunc(1000 / (n % 100)))
    }
    const several = await client.query('SELECT 1 AS a; SELECT 2 AS b')
    tap.same(several.map(result => result.rows), [[{ a: 1 }], [{ b: 2 }]])
  })],

  ['cursors by portals, in and out of a transaction', using(async (client, other) => {
    for (const begin of ['SELECT 1', 'BEGIN']) {
      await client.query(begin)
      const cursor = client.query(new Cursor('SELECT n FROM generate_series(1, $1::int) n', [1000]))
      let sum = 0
      for (let rows; (rows = await cursor.read(70)).length > 0;) {
        sum += rows.reduce((total, row) => total + row.n, 0)
        tap.same(await value(other, 'SELECT 7'), 7)
      }
      await cursor.close()
      tap.same(sum, 500500)
      const unread = client.query(new Cursor('SELECT n FROM generate_series(1, 1000) n'))
      await unread.read(1)
      await unread.close()
      await client.query('COMMIT')
    }
  })],

  ['COPY in and out', using(async client => {
    const text = Array.from({ length: 20000 }, (_, n) => `${n + 10000}\trow ${n}\n`).join('')
    await pipeline(Readable.from([text]), client.query(copy.from('COPY np FROM STDIN')))
    let out = ''
    const sink = new Writable({ write (chunk, _, done) { out += chunk; done() } })
    await pipeline(client.query(copy.to('COPY (SELECT * FROM np WHERE id >= 10000 ORDER BY id) TO STDOUT')), sink)
    tap.same(out, text)
    await tap.fails('22P02', pipeline(Readable.from(['seven\ta\n']), client.query(copy.from('COPY np FROM STDIN'))))
    tap.same(await value(client, 'SELECT 1'), 1)
  })],

  ['LISTEN and NOTIFY', using(async (listener, other) => {
    await listener.query('LISTEN np_news')
    const got = once(listener, 'notification')
    await other.query("NOTIFY np_news, 'hello'")
    tap.same((await got)[0].payload, 'hello')
  })],

  ['cancel, which it asks for without TLS', using(async (client, other) => {
    await client.query('BEGIN')
    const query = new pg.Query('SELECT pg_sleep(60) AS np_cancel')
    const ended = once(query, 'end') // refused with the error
    client.query(query)
    await tap.until('the statement', () => value(other, `SELECT count(*) = 1 FROM pg_stat_activity
      WHERE query LIKE '%np_cancel%' AND wait_event = 'PgSleep'`))
    new pg.Client(config).cancel(client, query)
    await tap.fails('57014', ended)
    await tap.fails('25P02', client.query('SELECT 1'))
    await client.query('ROLLBACK')
    tap.same(await value(client, 'SELECT 1'), 1)
  })],

  ['errors; settings follow the session', using(async (client, other) => {
    await tap.fails('42P01', client.query('SELECT * FROM nowhere'))
    await tap.fails('42601', client.query('SELEKT $1', [1]))
    tap.same(await value(client, 'SHOW statement_timeout'), '12345ms')
    await client.query("SET DateStyle = 'German'")
    for (let turn = 0; turn < 3; turn++) {
      tap.same(await value(client, "SELECT '2024-02-29'::date::text"), '29.02.2024')
      tap.same(await value(other, "SELECT '2024-02-29'::date::text"), '2024-02-29')
    }
  }, { statement_timeout: 12345 })],

  ['a pool', async () => {
    const pool = new pg.Pool({ ...config, max: 30 })
    await Promise.all(Array.from({ length: 200 }, async (_, n) => {
      tap.same(await value(pool, 'SELECT $1::int', [n]), n)
      const client = await pool.connect()
      await client.query('BEGIN READ ONLY')
      tap.same(await value(client, { name: 'pooled', text: 'SELECT $1::int', values: [n] }), n)
      await tap.fails('25006', client.query('DELETE FROM np'))
      await client.query('ROLLBACK')
      client.release()
    }))
    await pool.end()
  }],

  ['a restart of the servers', using(async again => {
    const idle = await connect()
    const busy = await connect()
    const kept = n => ({ name: 'kept', text: 'SELECT $1::int', values: [n] })
    tap.same(await value(idle, kept(7)), 7)
    await busy.query("BEGIN; INSERT INTO np VALUES (90000, 'lost')")
    await tap.restart()
    const [answer] = await Promise.allSettled([busy.query('SELECT 1')])
    tap.same(answer.status, 'rejected')
    if (tap.pooled) {
      tap.same(await value(idle, kept(8)), 8)
      await again.query('SELECT 1')
    }
    const later = await connect()
    tap.same(await value(later, 'SELECT count(*)::int FROM np WHERE id = 90000'), 0)
    await Promise.allSettled([idle, later].map(client => client.end()))
  })]
])
