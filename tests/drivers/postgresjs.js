// postgres.js: every query prepared and pipelined with what follows it.
'use strict'

const { pipeline } = require('stream/promises')
const { Readable } = require('stream')
const postgres = require('postgres')
const tap = require('tap')

const ssl = { ...tap.tls, servername: 'localhost' }
const open = options => postgres({ ssl, connect_timeout: 10, onnotice: () => {}, ...options })

/** Runs with a pool of so many connections, and closes it. */
function using (max, body, options) {
  return async () => {
    const sql = open({ max, ...options })
    await body(sql)
    await sql.end({ timeout: 5 })
  }
}

// On the primary, where another session can see it.
const fallAsleep = sql => sql`SELECT pg_sleep(60) AS pj_asleep, ${1}::int FROM pj WHERE id = 1 FOR UPDATE`.execute()
const isAsleep = sql => tap.until('the statement', async () => column(await sql`SELECT count(*)::int AS n
  FROM pg_stat_activity WHERE query LIKE '%pj_asleep%FOR UPDATE' AND wait_event = 'PgSleep'`)[0] === 1)

const column = (rows, name = 'n') => rows.map(row => row[name])

tap.run([
  ['connects with SCRAM over TLS', using(1, async sql => {
    tap.same(column(await sql`SELECT current_user::text AS n`), ['app'])
    await sql`DROP TABLE IF EXISTS pj`
    await sql`CREATE TABLE pj (id int PRIMARY KEY, note text)`
  })],

  ['types, on replicas and in a transaction', using(1, async sql => {
    const at = new Date('2024-02-29T23:59:59.999Z')
    const raw = Buffer.from([0, 1, 255])
    const json = { a: [1, null] }
    const big = '9223372036854775807'
    const check = async sql => {
      const rows = await sql`SELECT ${-5}::int4 a, ${tap.horse} b, ${0.1}::float8 c, ${true}::bool d, ${raw}::bytea e,
        ${null}::text f, ${at} g, ${sql.json(json)} h, ${[1, 3]}::int[] i, ${big}::int8 j`
      const wanted = { a: -5, b: tap.horse, c: 0.1, d: true, e: raw, f: null, g: at, h: json, i: [1, 3], j: big }
      tap.same([...rows], [wanted])
    }
    for (let turn = 0; turn < 3; turn++) {
      await check(sql)
      await sql.begin(check)
    }
  })],

  ['transactions and savepoints', using(2, async sql => {
    await sql.begin(async sql => {
      await sql`INSERT INTO pj VALUES (1, 'kept')`
      await tap.fails('23505', sql.savepoint(sql => sql`INSERT INTO pj VALUES (1, 'twice')`))
      await sql`INSERT INTO pj ${sql([{ id: 2, note: 'kept' }, { id: 3, note: tap.horse }])}`
    })
    await tap.fails('22012', sql.begin(sql => [sql`DELETE FROM pj`, sql`SELECT 1 / ${0}::int`]))
    await sql.begin('isolation level repeatable read read only', async sql => {
      tap.same(column(await sql`SELECT count(*)::int AS n FROM pj`), [3])
      await tap.fails('25006', sql.savepoint(sql => sql`DELETE FROM pj`))
    })
  })],

  ['prepared statements over transactions and server connections', using(6, async sql => {
    const pids = new Set()
    for (let turn = 0; turn < 8; turn++) {
      await Promise.all(Array.from({ length: 6 }, (_, index) => sql.begin(async sql => {
        const wanted = turn * 100 + index
        const [{ n, pid }] = await sql`SELECT ${wanted}::int AS n, pg_backend_pid() AS pid FROM pj WHERE id = 1`
        tap.same(n, wanted)
        pids.add(pid)
      })))
    }
    tap.same(pids.size > 1, true)
  })],

  ['pipelines, with errors between', using(1, async sql => {
    const divide = (_, n) => sql`SELECT 1000 / ${n % 100}::int AS n`
    const answers = await Promise.allSettled(Array.from({ length: 500 }, divide))
    for (const [n, answer] of answers.entries()) {
      if (n % 100 === 0) tap.same(answer.reason.code, '22012')
      else tap.same(column(answer.value), [Math.trunc(1000 / (n % 100))])
    }
    for (let n = 100; n < 200; n++) {
      const write = sql`INSERT INTO pj VALUES (${n}, 'own')`
      const read = sql`SELECT id AS n FROM pj WHERE id = ${n}`
      tap.same(column((await Promise.all([write, read]))[1]), [n])
    }
    tap.same((await sql.unsafe('SELECT 1 AS n; SELECT 2 AS n')).map(rows => column(rows)), [[1], [2]])
  })],

  ['many statements, more than a server connection keeps', using(2, async sql => {
    await Promise.all(Array.from({ length: 400 }, async (_, n) => {
      tap.same(column(await sql.unsafe(`SELECT $1::int + ${n} AS n`, [n], { prepare: true })), [2 * n])
    }))
  })],

  ['cursors, and what they leave when one stops', using(2, async sql => {
    let sum = 0
    await sql`SELECT n FROM generate_series(1, ${1000}::int) n`.cursor(70, rows => {
      sum += column(rows).reduce((total, n) => total + n)
    })
    tap.same(sum, 500500)
    for await (const rows of sql`SELECT n FROM generate_series(1, 1000) n`.cursor(10)) {
      tap.same(rows.length, 10)
      break
    }
    tap.same(column(await sql`SELECT 7 AS n`), [7])
  })],

  ['COPY in and out', using(1, async sql => {
    const text = Array.from({ length: 20000 }, (_, n) => `${n + 10000}\trow ${n}\n`).join('')
    await pipeline(Readable.from([text]), await sql`COPY pj FROM STDIN`.writable())
    let out = ''
    const back = await sql`COPY (SELECT * FROM pj WHERE id >= 10000 ORDER BY id) TO STDOUT`.readable()
    for await (const chunk of back) out += chunk
    tap.same(out, text)
    tap.same(column(await sql`SELECT 1 AS n`), [1])
  })],

  ['LISTEN and NOTIFY', using(2, async sql => {
    let tell
    const got = new Promise(resolve => { tell = resolve })
    const listening = await sql.listen('pj_news', tell)
    await sql.notify('pj_news', tap.horse)
    tap.same(await got, tap.horse)
    await listening.unlisten()
  })],

  ['cancel', using(3, async sql => {
    const asleep = fallAsleep(sql)
    const refused = tap.fails('57014', asleep)
    await isAsleep(sql)
    asleep.cancel()
    await refused
    tap.same(column(await sql`SELECT 1 AS n`), [1])
  })],

  ['settings follow the session; without prepared statements', using(2, async sql => {
    tap.same(column(await sql`SELECT '2024-02-29'::date::text AS n`), ['29.02.2024'])
    const one = await sql.reserve()
    await one`SET search_path = pg_catalog`
    tap.same(column(await one`SHOW search_path`, 'search_path'), ['pg_catalog'])
    tap.same(column(await sql`SHOW search_path`, 'search_path'), ['"$user", public'])
    one.release()
  }, { prepare: false, connection: { DateStyle: 'German' } })],

  ['a restart of the servers', using(3, async sql => {
    // Not in a transaction: 3.4.9 itself dies of a connection that is lost in one.
    const lost = fallAsleep(sql).then(() => 'it passed', error => error)
    await isAsleep(sql)
    await tap.restart()
    tap.same(await lost instanceof Error, true)
    let rows // the pool finds out by errors of those connections that it had
    await tap.until('an answer', async () => {
      rows = await sql`SELECT count(*)::int AS n FROM pj WHERE id < 10`.catch(error => error)
      return Array.isArray(rows)
    })
    tap.same(column(rows), [3])
  })]
])
