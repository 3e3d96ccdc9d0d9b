#!/usr/bin/env python3
"""Runs one file of tests and prints what it came to as JSON; exit 1 only when the file cannot be run at all.

A test that fails is a result, not an error: the gate wants to hear of all of them.
"""

import json
import sys
import time
import unittest

sys.dont_write_bytecode = True  # what was compiled from a file a moment ago may pass for the changed one's
file = sys.argv[1]
sys.path.insert(0, ".")
began = time.monotonic()
suite = unittest.defaultTestLoader.discover("suite", pattern=file.removeprefix("suite/"))
if suite.countTestCases() == 0:
    sys.exit(f"there is no test in {file}")
result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
failed = [test.id() for test, _ in result.failures + result.errors]
seconds = round(time.monotonic() - began, 3)
print(json.dumps({"file": file, "tests": result.testsRun, "failed": failed, "seconds": seconds}))
