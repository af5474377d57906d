# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Runs one unittest file and writes TAP: python3 tap.py FILE [Class.test]"""

import sys
import unittest


class Tap(unittest.TestResult):
    """Each test a line; what went wrong as comments below it."""

    number = 0
    current = None

    def startTest(self, test):
        super().startTest(test)
        self.current = "ok"
        self.note = ""

    def _not(self, error):
        self.current = "not ok"
        self.note += "".join(f"# {line}\n" for line in error.splitlines())

    def addError(self, test, err):
        super().addError(test, err)
        if self.current is None:    # of a class or file, not of a test
            self.startTest(test)
            self._not(self.errors[-1][1])
            self.stopTest(test)
        else:
            self._not(self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._not(self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self._not(self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if self.current is None:    # a class as a whole
            self.number += 1
            print(f"ok {self.number} - {test.id()} # SKIP {reason}")
        else:
            self.current = f"ok # SKIP {reason}"

    def stopTest(self, test):
        super().stopTest(test)
        self.number += 1
        word, _, reason = self.current.partition(" #")
        name = test.id().partition(".")[2] or test.id()
        print(f"{word} {self.number} - {name}{' #' + reason if reason else ''}")
        print(self.note, end="", flush=True)
        self.current = None


def main(name, only=None):
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromName(f"{name}.{only}" if only else name)
    result = Tap()
    suite.run(result)
    print(f"1..{result.number}", flush=True)
    return 0 if result.wasSuccessful() and result.number else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
