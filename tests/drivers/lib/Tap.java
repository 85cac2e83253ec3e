import java.sql.SQLException;
import java.util.Objects;

/** TAP out of a program in Java: Tap.check("title", () -> { ... }) fails with what it throws; at the end Tap.done(). */
final class Tap {
	static final boolean POOLED = System.getenv("DRIVERS_POOLED") != null;
	static final String HORSE = "žluťoučký 'kůň' \"\\ 🐎";
	private static int cases, failed;

	interface Body {
		void run() throws Exception;
	}

	interface Question {
		boolean ask() throws Exception;
	}

	static void check(String title, Body body) {
		cases++;
		try {
			body.run();
			System.out.println("ok " + cases + " - " + title);
		} catch (Exception | AssertionError error) {
			failed++;
			System.out.println("not ok " + cases + " - " + title + "\n# " + error);
			for (StackTraceElement at : error.getStackTrace())
				if (at.getClassName().startsWith("Main"))
					System.out.println("#   line " + at.getLineNumber());
		}
		System.out.flush();
	}

	static void done() {
		System.out.println("1.." + cases);
		System.exit(failed > 0 ? 1 : 0);
	}

	static void same(Object expected, Object got) {
		if (!Objects.deepEquals(expected, got))
			throw new AssertionError("expected " + expected + ", got " + got);
	}

	static void fails(String state, Body body) throws Exception {
		try {
			body.run();
		} catch (SQLException error) {
			same(state, error.getSQLState());
			return;
		}
		throw new AssertionError("expected SQLSTATE " + state + ", and it passed");
	}

	/** Asks until it is true; the question itself takes its time. */
	static void until(String what, Question question) throws Exception {
		long end = System.nanoTime() + 20_000_000_000L;
		while (!question.ask())
			if (System.nanoTime() > end)
				throw new AssertionError("still waiting for " + what);
	}

	/** Every node restarts before this returns. */
	static void restart() throws Exception {
		System.out.println("RESTART");
		System.out.flush();
		for (int c = 0; c != '\n' && c != -1;)
			c = System.in.read();
	}

	private Tap() {
	}
}
