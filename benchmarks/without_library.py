"""Another module, such as `benchmarks.stages` or `app`, without the compiled library: numpy does its work.

`python -m benchmarks.without_library MODULE ARGUMENTS…`. What is measured so stands beside a run of the module alone.
"""

import importlib
import importlib.util
import runpy
import sys

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    # First, as it would be: the service's package says how many threads BLAS has, which numpy asks when it is imported.
    package = importlib.util.find_spec(sys.argv[0].partition(".")[0])
    if package is not None and package.submodule_search_locations:
        importlib.import_module(package.name)
    from models.native import library

    # Whoever imports it later, and all do, finds none.
    library.LIBRARY, library.PROBLEM = None, "it was left out by benchmarks.without_library"
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
