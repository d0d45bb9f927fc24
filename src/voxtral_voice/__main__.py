"""`python -m voxtral_voice`. Knows: nothing. Does not know: everything else; that is `cli`."""

import sys

from voxtral_voice.cli import main

sys.exit(main())
