import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.FutureTask;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.jdbc.PreferQueryMode;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

/** JDBC: statements that the server prepares after prepareThreshold uses, batches, cursors by fetch size, COPY. */
class Main {
	/** Pairs of property and value, over those of the environment. */
	static Connection open(String... pairs) throws SQLException {
		Properties properties = new Properties();
		properties.setProperty("user", System.getenv("PGUSER"));
		properties.setProperty("password", System.getenv("PGPASSWORD"));
		properties.setProperty("sslmode", System.getenv("PGSSLMODE"));
		properties.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
		for (int i = 0; i < pairs.length; i += 2)
			properties.setProperty(pairs[i], pairs[i + 1]);
		return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
			+ "/" + System.getenv("PGDATABASE"), properties);
	}

	static void run(Connection c, String sql) throws SQLException {
		try (Statement statement = c.createStatement()) {
			statement.execute(sql);
		}
	}

	static Object value(Connection c, String sql, Object... parameters) throws SQLException {
		try (PreparedStatement statement = c.prepareStatement(sql)) {
			return value(statement, parameters);
		}
	}

	static Object value(PreparedStatement statement, Object... parameters) throws SQLException {
		for (int i = 0; i < parameters.length; i++)
			statement.setObject(i + 1, parameters[i]);
		try (ResultSet rows = statement.executeQuery()) {
			return rows.next() ? rows.getObject(1) : null;
		}
	}

	static void connects() throws Exception {
		try (Connection c = open("targetServerType", "primary")) {
			Tap.same("app", value(c, "SELECT current_user::text"));
			Tap.same(15, c.getMetaData().getDatabaseMajorVersion());
			run(c, "DROP TABLE IF EXISTS jd; CREATE TABLE jd (id int PRIMARY KEY, note text)");
			try (ResultSet rows = c.getMetaData().getColumns(null, "public", "jd", "%")) {
				Tap.same(true, rows.next() && rows.next());
				Tap.same("note", rows.getString("COLUMN_NAME"));
			}
			try (ResultSet rows = c.getMetaData().getPrimaryKeys(null, "public", "jd")) {
				Tap.same(true, rows.next());
			}
		}
	}

	static void types(Connection c) throws Exception {
		boolean isSimple = c.unwrap(PGConnection.class).getPreferQueryMode() == PreferQueryMode.SIMPLE;
		Object[][] values = {{"int4", Integer.MIN_VALUE}, {"int8", Long.MAX_VALUE}, {"float8", 0.1}, {"bool", true},
			{"text", Tap.HORSE}, {"numeric", new BigDecimal("-1234567890.123456789")}, {"uuid", new UUID(5, 7)},
			{"bytea", new byte[] {0, 1, -1}}};
		for (Object[] pair : values) {
			if (isSimple && pair[0] == "bytea")
				continue; // the driver cannot
			try (PreparedStatement statement = c.prepareStatement("SELECT (?)::" + pair[0])) {
				for (int turn = 0; turn < 8; turn++) // text at first, binary once it is prepared on the server
					Tap.same(pair[1], value(statement, pair[1]));
			}
		}
		try (PreparedStatement statement = c.prepareStatement("SELECT ?::date, ?::timestamptz, ?::int[]")) {
			OffsetDateTime time = OffsetDateTime.parse("2024-02-29T23:59:59.999999Z");
			for (int turn = 0; turn < 8; turn++) {
				statement.setObject(1, LocalDate.of(2024, 2, 29));
				statement.setObject(2, time);
				statement.setArray(3, c.createArrayOf("int4", new Integer[] {1, null, 3}));
				try (ResultSet rows = statement.executeQuery()) {
					rows.next();
					Tap.same(LocalDate.of(2024, 2, 29), rows.getObject(1, LocalDate.class));
					Tap.same(time, rows.getObject(2, OffsetDateTime.class));
					Array array = rows.getArray(3);
					Tap.same(new Integer[] {1, null, 3}, array.getArray());
				}
			}
		}
	}

	static void savepoints() throws Exception {
		for (String autosave : new String[] {"never", "always"})
			try (Connection c = open("autosave", autosave); Connection other = open()) {
				run(c, "TRUNCATE jd");
				c.setAutoCommit(false);
				run(c, "INSERT INTO jd VALUES (1, 'kept')");
				Savepoint savepoint = c.setSavepoint();
				Tap.fails("23505", () -> run(c, "INSERT INTO jd VALUES (1, 'twice')"));
				if (autosave.equals("never"))
					Tap.fails("25P02", () -> run(c, "SELECT 1"));
				c.rollback(savepoint);
				run(c, "INSERT INTO jd VALUES (2, 'kept')");
				c.commit();
				other.setAutoCommit(false);
				Tap.same(2L, value(other, "SELECT count(*) FROM jd"));
				c.setAutoCommit(true);
				Tap.same(2L, value(c, "SELECT count(*) FROM jd"));
			}
	}

	static void prepared() throws Exception {
		List<Connection> crowd = new ArrayList<>();
		List<PreparedStatement> statements = new ArrayList<>();
		List<Set<Object>> pids = new ArrayList<>();
		try (Connection c = open()) {
			run(c, "INSERT INTO jd VALUES (1, 'here') ON CONFLICT DO NOTHING");
		}
		for (int i = 0; i < 6; i++) {
			crowd.add(open("prepareThreshold", "1"));
			crowd.get(i).setAutoCommit(false);
			statements.add(crowd.get(i).prepareStatement("SELECT ?::int + " + i + " FROM jd WHERE id = 1"));
			pids.add(new HashSet<>());
		}
		for (int turn = 0; turn < 8; turn++) {
			for (int i = 0; i < 6; i++) {
				Tap.same(turn * 100 + i, value(statements.get(i), turn * 100));
				pids.get(i).add(value(crowd.get(i), "SELECT pg_backend_pid()"));
			}
			for (int i = 0; i < 6; i++)
				crowd.get((turn + i) % 6).commit();
		}
		for (int i = 0; i < 6; i++) {
			crowd.get(i).setAutoCommit(true);
			Tap.same(7 + i, value(statements.get(i), 7));
			crowd.get(i).close();
		}
		Tap.same(Tap.POOLED, pids.stream().anyMatch(seen -> seen.size() > 1));
	}

	static void batches(boolean rewrite) throws Exception {
		try (Connection c = open("reWriteBatchedInserts", String.valueOf(rewrite))) {
			run(c, "DELETE FROM jd WHERE id >= 100");
			for (boolean autoCommit : new boolean[] {true, false}) {
				c.setAutoCommit(autoCommit);
				int first = autoCommit ? 100 : 2000;
				try (PreparedStatement insert = c.prepareStatement("INSERT INTO jd VALUES (?, ?)")) {
					for (int n = first; n < first + 1000; n++) {
						insert.setInt(1, n);
						insert.setString(2, Tap.HORSE);
						insert.addBatch();
					}
					Tap.same(1000, insert.executeBatch().length);
					for (int n : new int[] {5000, 5001, 100}) {
						insert.setInt(1, n);
						insert.addBatch();
					}
					try {
						insert.executeBatch();
						throw new AssertionError("a key twice, and it passed");
					} catch (BatchUpdateException error) {
						Tap.same("23505", error.getSQLState());
					}
					if (!autoCommit)
						c.rollback();
				}
			}
			Tap.same(1000L, value(c, "SELECT count(*) FROM jd WHERE id >= 100"));
			c.commit();
			try (PreparedStatement keys = c.prepareStatement("INSERT INTO jd VALUES (9000, 'a')", new String[] {"id"})) {
				keys.executeUpdate();
				ResultSet rows = keys.getGeneratedKeys();
				Tap.same(9000, rows.next() ? rows.getInt(1) : null);
			}
			c.commit();
		}
	}

	static void cursors() throws Exception {
		try (Connection c = open("defaultRowFetchSize", "70")) {
			for (boolean autoCommit : new boolean[] {false, true}) {
				c.setAutoCommit(autoCommit);
				for (boolean readOnly : new boolean[] {false, true}) {
					c.setReadOnly(readOnly);
					long sum = 0;
					try (PreparedStatement statement = c.prepareStatement("SELECT generate_series(1, ?) AS n")) {
						statement.setInt(1, 5000);
						try (ResultSet rows = statement.executeQuery()) {
							for (; rows.next(); sum += rows.getInt(1))
								if (rows.getInt(1) % 1000 == 0) // another one while the portal is open
									Tap.same(7, value(c, "SELECT ?::int", 7));
						}
					}
					Tap.same(12502500L, sum);
					if (!autoCommit)
						c.commit();
				}
			}
		}
	}

	static void copies() throws Exception {
		try (Connection c = open()) {
			StringBuilder text = new StringBuilder();
			for (int n = 20000; n < 40000; n++)
				text.append(n).append("\trow ").append(n).append("\n");
			var copy = c.unwrap(PGConnection.class).getCopyAPI();
			Tap.same(20000L, copy.copyIn("COPY jd FROM STDIN", new StringReader(text.toString())));
			StringWriter out = new StringWriter();
			copy.copyOut("COPY (SELECT * FROM jd WHERE id >= 20000 ORDER BY id) TO STDOUT", out);
			Tap.same(text.toString(), out.toString());
			Tap.fails("22P02", () -> copy.copyIn("COPY jd FROM STDIN", new StringReader("seven\ta\n")));
			var begun = copy.copyIn("COPY jd FROM STDIN");
			begun.writeToCopy("50000\tnever\n".getBytes(), 0, 12);
			begun.cancelCopy();
			Tap.same(0L, value(c, "SELECT count(*) FROM jd WHERE id = 50000"));
		}
	}

	static void notifications() throws Exception {
		try (Connection listener = open(); Connection other = open()) {
			run(listener, "LISTEN jd_news");
			run(other, "NOTIFY jd_news, 'hello'");
			PGNotification[] got = listener.unwrap(PGConnection.class).getNotifications(20000);
			Tap.same("hello", got.length > 0 ? got[0].getParameter() : null);
		}
	}

	static void cancels() throws Exception {
		try (Connection c = open(); Statement statement = c.createStatement(); Connection other = open()) {
			statement.setQueryTimeout(1);
			Tap.fails("57014", () -> statement.executeQuery("SELECT pg_sleep(60)"));
			statement.setQueryTimeout(0);
			c.setAutoCommit(false);
			var cancelled = new FutureTask<Void>(() -> {
				Tap.until("the statement", () -> (Long) value(other, "SELECT count(*) FROM pg_stat_activity WHERE "
					+ "query LIKE '%jd_cancel%' AND wait_event = 'PgSleep'") == 1);
				statement.cancel();
				return null;
			});
			new Thread(cancelled).start();
			Tap.fails("57014", () -> statement.executeQuery("SELECT pg_sleep(60) AS jd_cancel"));
			cancelled.get();
			Tap.fails("25P02", () -> run(c, "SELECT 1"));
			c.rollback();
			Tap.same(1, value(c, "SELECT 1"));
		}
	}

	static void largeObjects() throws Exception {
		try (Connection c = open()) {
			c.setAutoCommit(false);
			LargeObjectManager manager = c.unwrap(PGConnection.class).getLargeObjectAPI();
			long oid = manager.createLO();
			byte[] blob = new byte[100000];
			java.util.Arrays.fill(blob, (byte) 0xA5);
			LargeObject object = manager.open(oid, LargeObjectManager.READWRITE);
			object.write(blob);
			object.seek(0);
			Tap.same(blob, object.read(blob.length));
			object.close();
			c.commit();
			manager.delete(oid);
			c.commit();
		}
	}

	static void errorsAndSettings() throws Exception {
		try (Connection c = open("prepareThreshold", "1", "options", "-c statement_timeout=12345")) {
			Tap.fails("42P01", () -> run(c, "SELECT * FROM nowhere"));
			Tap.fails("22012", () -> value(c, "SELECT 1 / ?::int", 0));
			c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
			Tap.same("serializable", value(c, "SHOW transaction_isolation"));
			c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
			c.setReadOnly(true);
			c.setAutoCommit(false);
			Tap.fails("25006", () -> run(c, "DELETE FROM jd"));
			c.rollback();
			c.setReadOnly(false);
			c.setAutoCommit(true);
			c.setSchema("pg_catalog");
			Tap.same("pg_catalog", c.getSchema());
			run(c, "SET search_path = public");
			Tap.same("12345ms", value(c, "SHOW statement_timeout"));
		}
	}

	/** The driver keeps what a statement's columns were: who changes them behind its back makes it misread the rows. */
	static void changedResults(boolean inTransaction) throws Exception {
		try (Connection c = open("prepareThreshold", "1"); Connection other = open()) {
			run(other, "DROP TABLE IF EXISTS jd_ddl; CREATE TABLE jd_ddl AS SELECT 7 AS a");
			try (PreparedStatement statement = c.prepareStatement("SELECT a, " + inTransaction + " FROM jd_ddl")) {
				for (int turn = 0; turn < 3; turn++)
					Tap.same(7, value(statement));
				run(other, "ALTER TABLE jd_ddl ALTER a TYPE bigint");
				if (inTransaction) {
					c.setAutoCommit(false);
					Tap.fails("0A000", () -> value(statement));
					c.rollback();
				}
				Tap.same(7L, value(statement));
			}
		}
	}

	static void restarted() throws Exception {
		try (Connection idle = open("prepareThreshold", "1"); Connection busy = open()) {
			PreparedStatement kept = idle.prepareStatement("SELECT ?::int");
			Tap.same(7, value(kept, 7));
			busy.setAutoCommit(false);
			run(busy, "INSERT INTO jd VALUES (90000, 'lost')");
			Tap.restart();
			try {
				run(busy, "SELECT 1");
				throw new AssertionError("the transaction outlived its server");
			} catch (SQLException error) {
				Tap.same(false, busy.isValid(5));
			}
			Tap.same(Tap.POOLED, idle.isValid(5));
			if (Tap.POOLED)
				Tap.same(8, value(kept, 8));
		}
		try (Connection c = open()) {
			Tap.same(0L, value(c, "SELECT count(*) FROM jd WHERE id = 90000"));
		}
	}

	public static void main(String[] arguments) {
		Tap.check("connects with SCRAM over TLS, as to a primary; metadata", Main::connects);
		Tap.check("types in text and binary, on replicas", () -> {
			try (Connection c = open()) {
				types(c);
			}
		});
		Tap.check("types in a transaction, by simple queries too", () -> {
			for (String mode : new String[] {"extended", "simple", "extendedCacheEverything"})
				try (Connection c = open("preferQueryMode", mode)) {
					c.setAutoCommit(false);
					types(c);
				}
		});
		Tap.check("transactions and savepoints, autosave", Main::savepoints);
		Tap.check("prepared statements over transactions and server connections", Main::prepared);
		Tap.check("batches", () -> batches(false));
		Tap.check("batches, rewritten into inserts of many rows", () -> batches(true));
		Tap.check("cursors by fetch size", Main::cursors);
		Tap.check("COPY in and out", Main::copies);
		Tap.check("LISTEN and NOTIFY", Main::notifications);
		Tap.check("cancel, on a replica and in a transaction", Main::cancels);
		Tap.check("large objects by function calls", Main::largeObjects);
		Tap.check("errors and settings", Main::errorsAndSettings);
		Tap.check("a changed result type", () -> changedResults(false));
		Tap.check("a changed result type, in a transaction", () -> changedResults(true));
		Tap.check("a restart of the servers", Main::restarted);
		Tap.done();
	}
}
