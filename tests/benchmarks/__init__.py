"""`make bench`: Coherd against what one would do instead, as ratios measured in one run (docs/operate/performance.md).

`subjects` says what is compared, `contenders` who takes part, `rounds` how it is measured.
"""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))  # `rig` is imported as in the tests
