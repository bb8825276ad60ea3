#!/bin/bash -eu
# The image calls this; with LIB_FUZZING_ENGINE set, the front door does the rest (scripts/verbs/ossfuzz.sh).
cd "$SRC/mmurace"
exec bash ./build.sh
