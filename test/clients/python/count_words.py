"""A program for `dstc worker exec`: input as JSON on stdin, output as JSON on stdout, what it is up to on stderr."""

import json
import os
import sys

task = json.load(sys.stdin)
attempt = int(os.environ["DSTC_ATTEMPT"])
print(f"50% counting in attempt {attempt}", file=sys.stderr)
if attempt <= task.get("flaky", 0):
    print("the dictionary is locked", file=sys.stderr)
    sys.exit(75)  # EX_TEMPFAIL: try again later.
words = task["text"].split()  # No text ends it with a traceback, status 1.
print(json.dumps({"words": len(words), "longest": max(words, key=len), "attempt": attempt}))
