# Writes a C file that says what was built, and leaves it alone when it says so already: what includes nothing of it
# is not built again. CMakeLists.txt runs this at each build.
#
#   cmake -DROOT=... -DFILE=... -DCOMPILER=... -DSANITIZER=... -DFORMATS=... -P scripts/identity.cmake
cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND git --no-optional-locks -C "${ROOT}" describe --always --dirty --abbrev=12 "--exclude=*"
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT "${FILE}" @ONLY CONTENT "/* Written by scripts/identity.cmake. */
#include \"fuzz/cli/cli.h\"

const char *const build_commit = \"@commit@\";
const char *const build_compiler = \"@COMPILER@\";
const char *const build_sanitizer = \"@SANITIZER@\";
const char *const build_formats = \"@FORMATS@\";
")
