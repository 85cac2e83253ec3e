# TAP out of a program in Ruby: Tap.check('a title') { … } fails where the block raises; at the end Tap.done.
module Tap
  POOLED = ENV.key?('DRIVERS_POOLED')
  HORSE = "žluťoučký 'kůň' \"\\ 🐎".freeze
  @cases = @failed = 0
  $stdout.sync = true

  def self.check(title)
    @cases += 1
    yield
    puts "ok #{@cases} - #{title}"
  rescue StandardError => error
    @failed += 1
    puts "not ok #{@cases} - #{title}", error.full_message(highlight: false).gsub(/^/, '# ')
  end

  def self.done
    puts "1..#{@cases}"
    exit(@failed.zero?)
  end

  def self.same(expected, got)
    raise "expected #{expected.inspect}, got #{got.inspect}" unless expected == got
  end

  def self.fails(state)
    yield
  rescue PG::Error => error
    same(state, error.result&.error_field(PG::Result::PG_DIAG_SQLSTATE))
  else
    raise "expected SQLSTATE #{state}, and it passed"
  end

  # Every node restarts before this returns.
  def self.restart
    puts 'RESTART'
    $stdin.gets
  end
end
