// TAP out of a program in Node.js: tap.run([["a title", async () => { … }], …]); a case fails by what it throws.
'use strict'

const assert = require('assert')
const fs = require('fs')
const readline = require('readline')

const env = process.env
const tls = { ca: fs.readFileSync(env.PGSSLROOTCERT), rejectUnauthorized: true }
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()

async function run (cases) {
  let failed = 0
  for (const [index, [title, body]] of cases.entries()) {
    try {
      await body()
      console.log(`ok ${index + 1} - ${title}`)
    } catch (error) {
      failed++
      console.log(`not ok ${index + 1} - ${title}`)
      console.log(String(error.stack || error).replace(/^/gm, '# '))
    }
  }
  console.log(`1..${cases.length}`)
  process.exit(failed ? 1 : 0)
}

/** The promise must be refused with this SQLSTATE. */
async function fails (state, promise) {
  try {
    await promise
  } catch (error) {
    assert.strictEqual(error.code, state, error.message)
    return
  }
  assert.fail(`expected SQLSTATE ${state}, and it passed`)
}

/** Asks until it is true; the question itself takes its time. */
async function until (what, question) {
  const end = Date.now() + 20000
  while (!await question()) assert(Date.now() < end, 'still waiting for ' + what)
}

/** Every node restarts before this ends. */
async function restart () {
  console.log('RESTART')
  await lines.next()
}

module.exports = {
  run,
  fails,
  until,
  restart,
  tls,
  same: assert.deepStrictEqual,
  pooled: 'DRIVERS_POOLED' in env,
  horse: 'žluťoučký \'kůň\' "\\ 🐎'
}
