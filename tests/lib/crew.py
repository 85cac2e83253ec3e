"""Threads that do a test's work beside it."""

import threading


class Crew:
    """So many threads run work(number) of a subclass while it is entered, each until `stopped` is set; what one of them
    raises ends it and is in `failures`, for the test to look at."""

    def __init__(self, size):
        self.stopped, self.failures = threading.Event(), []
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(size)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def _run(self, number):
        try:
            self.work(number)
        except Exception as error:  # the test's own thread asserts that there is none
            self.failures.append(error)
