#!/usr/bin/perl
# DBD::Pg: statements prepared on the server, savepoints, COPY, asynchronous queries, large objects.
use strict;
use warnings;
use utf8;

use DBI;
use DBD::Pg qw(:pg_types :async);
use IO::Select;
use Test::More;

binmode($_, ':encoding(UTF-8)') for Test::More->builder->output, Test::More->builder->failure_output;
$| = 1;

my $horse = "žluťoučký 'kůň' \"\\ 🐎";

# The environment says where and how; libpq reads it.
sub connected {
	return DBI->connect('dbi:Pg:', '', '', { RaiseError => 1, PrintError => 0, AutoCommit => 1, @_ });
}

sub value {
	my ($dbh, $sql, @values) = @_;
	return ($dbh->selectrow_array($sql, undef, @values))[0];
}

# A case dies where something is not as it should be.
sub check {
	my ($title, $body) = @_;
	my $is_good = eval { $body->(); 1 };
	ok($is_good, $title) or diag($@);
}

sub same {
	my ($expected, $got) = @_;
	$got //= 'undef';
	die "expected $expected, got $got, line " . (caller)[2] . "\n" if $expected ne $got;
}

sub fails {
	my ($state, $dbh, $body) = @_;
	die "expected SQLSTATE $state, and it passed, line " . (caller)[2] . "\n" if eval { $body->(); 1 };
	same($state, $dbh->state);
}

check 'connects with SCRAM over TLS' => sub {
	my $dbh = connected();
	same('app', value($dbh, 'SELECT current_user'));
	same('UTF8', $dbh->selectrow_array('SHOW client_encoding'));
	$dbh->do('DROP TABLE IF EXISTS pe');
	$dbh->do('CREATE TABLE pe (id serial PRIMARY KEY, note text, raw bytea)');
	same('id note raw', join ' ', map { $_->[3] } @{ $dbh->column_info(undef, 'public', 'pe', '%')->fetchall_arrayref });
	same('id', join ' ', $dbh->primary_key(undef, 'public', 'pe'));
};

check 'types, on replicas and in a transaction' => sub {
	for my $dbh (connected(), connected(AutoCommit => 0)) {
		my $sth = $dbh->prepare('SELECT ?::int8, ?::text, ?::bool, ?::int[], ?::bytea, ?::text');
		$sth->bind_param(5, undef, { pg_type => PG_BYTEA });
		my @got = $dbh->selectrow_array($sth, undef, '-9223372036854775808', $horse, 1, [1, 3], "\0\1\xff", undef);
		same('-9223372036854775808', $got[0]);
		same($horse, $got[1]);
		same(1, $got[2]);
		same('1 3', join ' ', @{ $got[3] });
		same("\0\1\xff", $got[4]);
		same('undef', $got[5]);
		$dbh->disconnect;
	}
};

check 'transactions and savepoints' => sub {
	my ($dbh, $other) = (connected(), connected());
	$dbh->begin_work;
	$dbh->do('INSERT INTO pe (id, note) VALUES (?, ?)', undef, 1000, 'kept');
	$dbh->pg_savepoint('s');
	fails('23505', $dbh, sub { $dbh->do('INSERT INTO pe (id) VALUES (?)', undef, 1000) });
	fails('25P02', $dbh, sub { $dbh->do('SELECT 1') });
	$dbh->pg_rollback_to('s');
	$dbh->do('INSERT INTO pe (id) VALUES (1001)');
	$dbh->pg_release('s');
	$dbh->commit;
	same(2, value($dbh, 'SELECT count(*) FROM pe'));
	$other->begin_work;
	same(2, value($other, 'SELECT count(*) FROM pe'));
	$other->rollback;
};

check 'prepared statements over transactions and server connections' => sub {
	my @crowd = map { connected(AutoCommit => 0) } 0 .. 5;
	my @mine = map { $crowd[$_]->prepare("SELECT ?::int + $_, pg_backend_pid() FROM pe WHERE id = 1000") } 0 .. 5;
	my @pids = map { {} } @crowd;
	for my $turn (0 .. 7) {
		for my $index (0 .. 5) {
			my ($number, $pid) = $crowd[$index]->selectrow_array($mine[$index], undef, $turn * 100);
			same($turn * 100 + $index, $number);
			$pids[$index]{$pid} = 1;
		}
		$crowd[($turn + $_) % 6]->commit for 0 .. 5;
	}
	for my $index (0 .. 5) {
		$crowd[$index]{AutoCommit} = 1;
		same(7 + $index, ($crowd[$index]->selectrow_array($mine[$index], undef, 7))[0]);
		undef $mine[$index]; # DEALLOCATE
		$crowd[$index]->disconnect;
	}
	same($ENV{DRIVERS_POOLED} ? 1 : '', scalar(grep { keys %$_ > 1 } @pids) > 0);
};

check 'execute_array; the last inserted id' => sub {
	my $dbh = connected();
	my $sth = $dbh->prepare('INSERT INTO pe (id, note) VALUES (?, ?)');
	same(500, $sth->execute_array({}, [2000 .. 2499], $horse));
	$dbh->do('INSERT INTO pe (note) VALUES (?)', undef, 'by the sequence');
	my $id = $dbh->last_insert_id(undef, undef, 'pe', undef);
	same('by the sequence', value($dbh, 'SELECT note FROM pe WHERE id = ?', $id));
	same(1, $dbh->do('DELETE FROM pe WHERE id = ?', undef, $id));
};

check 'cursors' => sub {
	my $dbh = connected(AutoCommit => 0);
	$dbh->do('DECLARE c CURSOR FOR SELECT n FROM generate_series(1, 5000) n');
	my $sth = $dbh->prepare('FETCH 700 FROM c');
	my $sum = 0;
	while ($sth->execute > 0) {
		$sum += $_->[0] for @{ $sth->fetchall_arrayref };
	}
	same(5000 * 5001 / 2, $sum);
	$dbh->rollback;
	$dbh->disconnect;
};

check 'COPY in and out' => sub {
	my $dbh = connected();
	$dbh->do('COPY pe (id, note) FROM STDIN');
	$dbh->pg_putcopydata("$_\trow $_\n") for 10000 .. 29999;
	$dbh->pg_putcopyend;
	$dbh->do('COPY (SELECT id FROM pe WHERE id >= 10000) TO STDOUT');
	my ($line, $lines) = ('', 0);
	$lines++ while $dbh->pg_getcopydata($line) >= 0;
	same(20000, $lines);
	$dbh->do('COPY pe (id) FROM STDIN');
	$dbh->pg_putcopydata("seven\n");
	fails('22P02', $dbh, sub { $dbh->pg_putcopyend });
	same(1, value($dbh, 'SELECT 1'));
};

check 'LISTEN and NOTIFY' => sub {
	my ($listener, $other) = (connected(), connected());
	$listener->do('LISTEN pe_news');
	$other->do("NOTIFY pe_news, 'hello'");
	my $readable = IO::Select->new($listener->{pg_socket});
	my $got;
	until ($got = $listener->pg_notifies) {
		$readable->can_read(20) or die "no notification\n";
	}
	same('hello', $got->[2]);
};

check 'asynchronous queries, and cancel' => sub {
	my ($dbh, $other) = (connected(), connected());
	$dbh->do('SELECT pg_sleep(0.01)', { pg_async => PG_ASYNC });
	same(1, $dbh->pg_result);
	$dbh->begin_work;
	my $sth = $dbh->prepare('SELECT pg_sleep(60) AS pe_cancel', { pg_async => PG_ASYNC });
	$sth->execute;
	my $asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pe_cancel' AND wait_event = 'PgSleep'";
	my $end = time + 20;
	until (value($other, $asleep)) {
		die "the statement does not begin\n" if time > $end;
	}
	$dbh->pg_cancel;
	same('57014', $dbh->state);
	fails('25P02', $dbh, sub { value($dbh, 'SELECT 1') });
	$dbh->rollback;
	same(1, value($dbh, 'SELECT 1'));
};

check 'large objects by function calls' => sub {
	my $dbh = connected(AutoCommit => 0);
	my $oid = $dbh->pg_lo_creat($dbh->{pg_INV_WRITE});
	my $fd = $dbh->pg_lo_open($oid, $dbh->{pg_INV_WRITE});
	same(100000, $dbh->pg_lo_write($fd, 'x' x 100000, 100000));
	same(0, $dbh->pg_lo_lseek($fd, 0, 0));
	same(100000, $dbh->pg_lo_read($fd, my $back, 100000));
	same('x' x 100000, $back);
	$dbh->commit;
	$dbh->pg_lo_unlink($oid);
	$dbh->commit;
	$dbh->disconnect;
};

check 'errors; settings follow the session' => sub {
	my ($dbh, $other) = (connected(), connected());
	fails('42P01', $dbh, sub { $dbh->do('SELECT * FROM nowhere') });
	fails('22012', $dbh, sub { value($dbh, 'SELECT 1 / ?::int', 0) });
	$dbh->do("SET DateStyle = 'German'");
	for (1 .. 3) {
		same('29.02.2024', value($dbh, "SELECT '2024-02-29'::date::text"));
		same('2024-02-29', value($other, "SELECT '2024-02-29'::date::text"));
	}
	$dbh->{ReadOnly} = 1;
	$dbh->begin_work;
	fails('25006', $dbh, sub { $dbh->do('DELETE FROM pe') });
	$dbh->rollback;
};

check 'a restart of the servers' => sub {
	my ($idle, $busy) = (connected(), connected(AutoCommit => 0));
	my $kept = $idle->prepare('SELECT ?::int');
	same(7, ($idle->selectrow_array($kept, undef, 7))[0]);
	$busy->do('INSERT INTO pe (id) VALUES (90000)');
	print "RESTART\n";
	<STDIN>;
	die "the transaction outlived its server\n" if eval { $busy->do('SELECT 1') };
	die "a dead connection answers\n" if $busy->ping;
	same(8, ($idle->selectrow_array($kept, undef, 8))[0]) if $ENV{DRIVERS_POOLED};
	same(0, value(connected(), 'SELECT count(*) FROM pe WHERE id = 90000'));
};

done_testing();
