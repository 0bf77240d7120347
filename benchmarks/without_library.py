"""Another module, such as `benchmarks.stages` or `app`, without the compiled library: numpy does its work.

`python -m benchmarks.without_library MODULE ARGUMENTS…`. What is measured so stands beside a run of the module alone.
"""

import runpy
import sys

from models.native import library

if __name__ == "__main__":
    # Whoever imports it later, and all do, finds none.
    library.LIBRARY, library.PROBLEM = None, "it was left out by benchmarks.without_library"
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
