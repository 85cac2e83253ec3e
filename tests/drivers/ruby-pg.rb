# ruby-pg: typed parameters and results, pipelines, COPY with coders, threads.
require 'pg'
require 'tap'

def connect(**more)
  connection = PG.connect(**more)
  connection.set_notice_receiver { |_| nil }
  connection.type_map_for_results = PG::BasicTypeMapForResults.new(connection)
  connection.type_map_for_queries = PG::BasicTypeMapForQueries.new(connection)
  connection
end

def value(connection, sql, values = [], format = 0)
  connection.exec_params(sql, values, format).getvalue(0, 0)
end

Tap.check 'connects with SCRAM, bound to its TLS channel' do
  connection = connect(channel_binding: 'require')
  Tap.same('app', value(connection, 'SELECT current_user::text'))
  Tap.same(true, connection.ssl_in_use?)
  connection.exec('DROP TABLE IF EXISTS rb; CREATE TABLE rb (id int PRIMARY KEY, note text)')
  connection.finish
end

Tap.check 'types in text and binary, on replicas and in a transaction' do
  connection = connect
  2.times do
    [0, 1].each do |format|
      values = { 'int8' => -2**63, 'text' => Tap::HORSE, 'float8' => 0.1, 'bool' => true, 'int4' => nil }
      values.each { |type, sent| Tap.same(sent, value(connection, "SELECT $1::#{type}", [sent], format)) }
      raw = "\0\1\xff".b
      Tap.same(raw, value(connection, 'SELECT $1::bytea', [PG::BasicTypeMapForQueries::BinaryData.new(raw)], format))
    end
    Tap.same([1, nil, 3], value(connection, 'SELECT $1::int[]', [[1, nil, 3]]))
    connection.exec('BEGIN')
  end
  connection.finish
end

Tap.check 'transactions and savepoints' do
  connection, other = connect, connect
  connection.transaction do
    connection.exec("INSERT INTO rb VALUES (1, 'kept'); SAVEPOINT s")
    Tap.fails('23505') { connection.exec_params('INSERT INTO rb VALUES ($1)', [1]) }
    Tap.fails('25P02') { connection.exec('SELECT 1') }
    connection.exec('ROLLBACK TO s')
    connection.exec_params('INSERT INTO rb VALUES ($1)', [2])
  end
  begin
    connection.transaction { connection.exec('DELETE FROM rb') && raise(ZeroDivisionError) }
  rescue ZeroDivisionError
    Tap.same(2, value(connection, 'SELECT count(*) FROM rb'))
  end
  other.transaction { Tap.same(2, value(other, 'SELECT count(*) FROM rb')) }
  [connection, other].each(&:finish)
end

Tap.check 'prepared statements over transactions and server connections' do
  crowd = Array.new(6) { connect }
  crowd.each_with_index do |connection, index|
    connection.prepare('mine', "SELECT $1::int + #{index}, pg_backend_pid() FROM rb WHERE id = 1")
  end
  pids = Array.new(6) { [] }
  8.times do |turn|
    crowd.each_with_index do |connection, index|
      connection.exec('BEGIN')
      number, pid = connection.exec_prepared('mine', [turn * 100]).values[0]
      Tap.same(turn * 100 + index, number)
      pids[index] |= [pid]
    end
    crowd.rotate(turn).each { |connection| connection.exec('COMMIT') }
  end
  crowd.each_with_index do |connection, index|
    Tap.same(7 + index, connection.exec_prepared('mine', [7]).getvalue(0, 0))
    Tap.same(1, connection.describe_prepared('mine').nparams)
    connection.exec('DEALLOCATE mine')
    connection.finish
  end
  Tap.same(Tap::POOLED, pids.any? { |seen| seen.size > 1 })
end

Tap.check 'pipelines, with errors inside' do
  connection = connect
  connection.enter_pipeline_mode
  [[1, 2], [1, 0, 3], [4]].each do |numbers|
    numbers.each { |n| connection.send_query_params('SELECT 12 / $1::int', [n]) }
    connection.pipeline_sync
  end
  answers = Array.new(9) do
    result = connection.get_result
    connection.get_result unless result.result_status == PG::PGRES_PIPELINE_SYNC # the nil behind each but a Sync
    result.result_status == PG::PGRES_TUPLES_OK ? result.getvalue(0, 0) : result.res_status(result.result_status)
  end
  connection.exit_pipeline_mode
  synced = 'PGRES_PIPELINE_SYNC'
  Tap.same([12, 6, synced, 12, 'PGRES_FATAL_ERROR', 'PGRES_PIPELINE_ABORTED', synced, 3, synced], answers)
  Tap.same(1, value(connection, 'SELECT 1'))
  connection.finish
end

Tap.check 'single rows and cursors' do
  connection = connect
  connection.send_query('SELECT n FROM generate_series(1, 5000) n')
  connection.set_single_row_mode
  Tap.same(12_502_500, connection.get_result.stream_each_row.sum(&:first))
  connection.get_last_result
  connection.transaction do
    connection.exec('DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 100) n; MOVE 50 IN c')
    Tap.same(51, value(connection, 'FETCH c'))
  end
  connection.finish
end

Tap.check 'COPY in and out' do
  connection = connect
  rows = (10_000...30_000).map { |n| [n.to_s, "#{Tap::HORSE}\t\n"] }
  connection.copy_data('COPY rb FROM STDIN', PG::TextEncoder::CopyRow.new) do
    rows.each { |row| connection.put_copy_data(row) }
  end
  got = []
  out = 'COPY (SELECT * FROM rb WHERE id >= 10000 ORDER BY id) TO STDOUT'
  connection.copy_data(out, PG::TextDecoder::CopyRow.new) do
    while (row = connection.get_copy_data)
      got << row
    end
  end
  Tap.same(rows, got)
  Tap.fails('22P02') { connection.copy_data('COPY rb FROM STDIN') { connection.put_copy_data("seven\ta\n") } }
  Tap.same(20_000, value(connection, 'SELECT count(*) FROM rb WHERE id >= 10000'))
  connection.finish
end

Tap.check 'LISTEN and NOTIFY' do
  listener, other = connect, connect
  listener.exec('LISTEN rb_news')
  other.exec("NOTIFY rb_news, 'hello'")
  got = nil
  listener.wait_for_notify(20) { |_, _, payload| got = payload }
  Tap.same('hello', got)
  [listener, other].each(&:finish)
end

Tap.check 'cancel, on a replica and in a transaction' do
  connection = connect
  ['SELECT 1', 'BEGIN'].each do |first|
    connection.exec(first)
    connection.send_query('SELECT pg_sleep(60)')
    connection.cancel until connection.block(0.05) # one that came before the statement did nothing
    Tap.fails('57014') { connection.get_last_result }
    connection.exec('ROLLBACK') if first == 'BEGIN'
    Tap.same(1, value(connection, 'SELECT 1'))
  end
  connection.finish
end

Tap.check 'large objects by function calls' do
  connection = connect
  connection.transaction do
    oid = connection.lo_creat
    fd = connection.lo_open(oid, PG::INV_WRITE | PG::INV_READ)
    Tap.same(100_000, connection.lo_write(fd, 'x' * 100_000))
    connection.lo_lseek(fd, 0, PG::SEEK_SET)
    Tap.same('x' * 100_000, connection.lo_read(fd, 100_000))
    connection.lo_close(fd)
    connection.lo_unlink(oid)
  end
  connection.finish
end

Tap.check 'errors; settings follow the session' do
  connection, other = connect(options: '-c statement_timeout=12345'), connect
  Tap.fails('42P01') { connection.exec('SELECT * FROM nowhere') }
  Tap.fails('22012') { connection.exec_params('SELECT 1 / $1::int', [0]) }
  Tap.same('12345ms', value(connection, 'SHOW statement_timeout'))
  connection.set_client_encoding('LATIN1')
  Tap.same('é'.encode('ISO-8859-1'), value(connection, 'SELECT chr(233)'))
  connection.exec('SET search_path = pg_catalog')
  3.times do
    Tap.same('pg_catalog', value(connection, 'SHOW search_path'))
    Tap.same('"$user", public', value(other, 'SHOW search_path'))
  end
  [connection, other].each(&:finish)
end

Tap.check 'threads, each with a session' do
  threads = Array.new(25) do |index|
    Thread.new do
      connection = connect
      20.times { |n| Tap.same(index * n, value(connection, 'SELECT $1::int * $2::int', [index, n])) }
      connection.finish
    end
  end
  threads.each(&:join)
end

Tap.check 'a restart of the servers' do
  idle, busy = connect, connect
  idle.prepare('kept', 'SELECT $1::int')
  Tap.same(7, idle.exec_prepared('kept', [7]).getvalue(0, 0))
  busy.exec("BEGIN; INSERT INTO rb VALUES (90000, 'lost')")
  Tap.restart
  begin
    busy.exec('SELECT 1')
    raise 'the transaction outlived its server'
  rescue PG::Error
    Tap.same(PG::CONNECTION_BAD, busy.status)
  end
  Tap.same(8, idle.exec_prepared('kept', [8]).getvalue(0, 0)) if Tap::POOLED
  busy.reset
  Tap.same('0', busy.exec('SELECT count(*) FROM rb WHERE id = 90000').getvalue(0, 0).to_s)
end

Tap.done
