#!/usr/bin/env python3
"""Proves that every rule of check.py fires on a bad sample and is silent on a good one."""

import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import check  # noqa: E402


def function(name, lines):
    """A function definition of so many lines."""
    return f"void {name}(void)\n{{\n" + "\tx();\n" * (lines - 3) + "}\n"


def guarded(body):
    return f"#ifndef X_H\n#define X_H\n{body}#endif\n"


BUG = {"src/base/bugs.def": "/* BUG(slug) */\nBUG(zap_lost, 1)\n",
       "src/mmu/zap.c": "int f(void)\n{\n\treturn !bug(zap_lost);\n}\n",
       "reproducers/zap_lost.repro": "repro 1\nbug       zap_lost\n"}


def verbs(statement):
    return {"src/mmu/x.c": f"void f(void)\n{{\n\t{statement}\n}}\n"}


# (files, part of a line that check.py must print; None: it must print nothing)
SAMPLES = [
    # layers
    ({"src/mmu/x.c": '#include "base/list.h"\n#include "kern/lock.h"\n#include "mmu/y.h"\n',
      "src/mmu/y.h": guarded(""), "src/base/list.h": "", "src/kern/lock.h": ""}, None),
    ({"src/mmu/x.c": '#include "oracle/oracle.h"\n'}, "src/mmu/x.c:1: src/mmu may not include"),
    ({"src/mmu/x.c": '/* "a" */\n\n#include "machine/tlb.h"\n'}, "src/mmu/x.c:3: src/mmu may not"),
    ({"src/mmu/x.c": '#include "kern/fiber/lock.h"\n'}, "may not include"),
    ({"src/mmu/x.c": '#include "spte.h"\n'}, '"spte.h" is not rooted'),
    ({"src/mmu/x_test.c": '#include "oracle/oracle.h"\n'}, None),
    ({"src/oracle/ghost.c": '#include "machine/inspect.h"\n'}, None),
    ({"src/oracle/ghost.c": '#include "machine/machine.h"\n'}, "may not include"),
    ({"src/oracle/ghost.c": '#include "kern/lock.h"\n'}, "may not include"),
    ({"src/sched/x.c": '#include "kern/lock.h"\n'}, "may not include"),
    ({"src/kern/fiber/x.c": '#include "sched/sched.h"\n#include <backend/x.h>\n'}, None),
    ({"src/kern/shared/x.c": '#include "sched/sched.h"\n'}, "may not include"),
    ({"src/mmu/x.c": "#include <backend/lock.h>\n"}, "<backend/lock.h> is the inside"),
    ({"fuzz/x.c": '#include "workload/ops.def"\n#include "fuzz/configs.def"\n'}, None),
    ({"fuzz/x.c": '#include "mmu/mmu.h"\n'}, "fuzz may not include"),
    ({"targets/x.c": '#include "fuzz/fuzz.h"\n#include "subject/variants.h"\n'}, None),
    ({"targets/x.c": '#include "fuzz/cli/cli.h"\n'}, "targets may not include"),
    ({"src/extra/x.c": "int x;\n"}, "the folder is no layer"),
    # function length
    ({"src/mmu/x.c": function("f", 70)}, None),
    ({"src/mmu/x.c": function("f", 71)}, "src/mmu/x.c:1: f() has 71 lines"),
    ({"src/mmu/x.c": function("f", 71), check.FUNCTION_LENGTH_ALLOW: "src/mmu/x.c f 71\n"}, None),
    ({"src/mmu/x.c": function("f", 72), check.FUNCTION_LENGTH_ALLOW: "src/mmu/x.c f 71\n"},
     "f() has 72 lines, more than 71"),
    ({"src/mmu/x.c": function("f", 71), check.FUNCTION_LENGTH_ALLOW: "src/mmu/x.c f 90\n"},
     "lower the 90"),
    ({"src/mmu/x.c": function("f", 9), check.FUNCTION_LENGTH_ALLOW: "src/mmu/x.c f 90\n"},
     "needs no exception"),
    ({check.FUNCTION_LENGTH_ALLOW: "src/mmu/x.c f 90\n"}, "has no function f()"),
    # rows
    (BUG, None),
    ({**BUG, "src/mmu/zap.c": "/* bug(zap_lost) */\n"}, "bugs.def:2: no probe bug(zap_lost)"),
    ({**BUG, "src/mmu/zap.c": "int f = 4 * bug_if(zap_lost, x);\n"}, None),
    ({**BUG, "src/mmu/zap.c": "int f = " + "bug(zap_lost) + " * 4 + "0;\n"}, "4 probes"),
    ({**BUG, "src/mmu/map.c": "int f = bug(zap_lots);\n"}, "bug(zap_lots) has no row"),
    ({**BUG, "src/base/bug.h": "#define bug(slug) bug_if(slug, true)\n",
      "src/base/bug.c": '#include "base/bug.h"\n'}, None),
    ({**BUG, "reproducers/zap_lost.repro": "repro 1\nbug none\n"}, 'no line "bug zap_lost"'),
    ({**BUG, "reproducers/more/zap_lost.repro": "bug zap_lost\n"}, "2 files are named"),
    ({**BUG, "reproducers/other.repro": "bug zap_lots\n"}, "bug zap_lots has no row"),
    ({key: BUG[key] for key in BUG if "repro" not in key}, "no reproducers/zap_lost.repro"),
    ({"src/base/events.def": "EVENT(op_begun, FIELD(u64, op))\n",
      "src/workload/x.c": "void f(void)\n{\n\tevent(op_begun, .op = 1);\n}\n"}, None),
    ({"src/base/events.def": "EVENT(op_begun, FIELD(u64, op))\n",
      "src/oracle/ghost.c": "int x = EVENT_op_begun;\n"}, "nobody emits event(op_begun"),
    ({"src/workload/ops.def": "OP(fault)\n",
      "src/workload/x.c": "static void op_fault(int a,\n\t\t     int b)\n{\n}\n"}, None),
    ({"src/workload/ops.def": "OP(fault)\n", "src/workload/x.c": "int op_fault;\n"},
     "no function op_fault()"),
    ({"src/oracle/oracles.def": "ORACLE(stall)\n", "src/oracle/stall.c": "",
      "src/oracle/oracle.c": "", "src/oracle/stall_test.c": ""}, None),
    ({"src/oracle/oracles.def": "ORACLE(stall)\n"}, "there is no src/oracle/stall.c"),
    ({"src/oracle/oracles.def": "", "src/oracle/stall.c": ""}, "the oracle stall has no row"),
    # dead files
    ({"src/mmu/x.h": guarded("")}, "src/mmu/x.h:1: nobody includes"),
    ({"src/kern/fiber/backend/x.h": "", "src/kern/x.h": "#include <backend/x.h>\n",
      "src/mmu/x.c": '#include "kern/x.h"\n'}, None),
    ({"fuzz/fuzz.h": "", "targets/x.c": '#include "fuzz/fuzz.h"\n'}, None),
    # banned calls
    ({"src/mmu/x.c": 'const char *x = "strcpy(a, b)"; /* printf() */\n'}, None),
    ({"fuzz/x.c": "int x = sprintf(a, b);\n"}, "fuzz/x.c:1: sprintf() is banned"),
    ({"fuzz/x.c": "int x = snprintf(a, b), y = event_time(a), z = c->time(d);\n"}, None),
    ({"fuzz/x.c": "int x = time(0);\n"}, "time() is banned"),
    ({"fuzz/x.c": "int x = rand();\n"}, "rand() is banned"),
    ({"fuzz/x.c": "int x = setjmp(b);\n"}, "setjmp() is banned"),
    ({"fuzz/x.c": 'int x = getenv("A");\n'}, "getenv() is banned"),
    ({"fuzz/cli/x.c": 'int x = getenv("A");\n'}, None),
    ({"src/mmu/x.c": "int x = printf(a);\n"}, "printf() is banned"),
    ({"fuzz/x.c": "int x = printf(a);\n"}, None),
    ({"src/mmu/x.c": "int x = malloc(1);\n"}, "malloc() is banned"),
    ({"src/base/buf.c": "int x = malloc(1);\n"}, None),
    ({"src/mmu/x_test.c": "int x = malloc(1);\n"}, None),
    ({"src/mmu/x.c": "int x = abort();\n"}, "abort() is banned"),
    ({"src/base/assert.c": "int x = abort();\n"}, None),
    ({"src/mmu/x.c": "int f(char **argv);\n"}, "argv is banned"),
    # banned names
    ({"src/base/utils.c": ""}, "utils.c says nothing"),
    ({"fuzz/common/x.c": ""}, "common says nothing"),
    ({"fuzz/helpers.py": ""}, "helpers.py says nothing"),
    ({"src/mmu/x.c": function("zap_again2", 5)}, "zap_again2() is numbered"),
    ({"src/mmu/x.c": function("mix64", 5) + function("fnv1a", 5) + "int y = f(g2(1));\n"}, None),
    # conditional compilation
    ({"src/mmu/x.h": guarded("int x;\n"), "src/mmu/x.c": '#include "mmu/x.h"\n'}, None),
    ({"src/mmu/x.h": guarded("#if X\nint x;\n#endif\n"), "src/mmu/x.c": '#include "mmu/x.h"\n'},
     "src/mmu/x.h:3: #if is for"),
    ({"src/mmu/x.c": "#ifdef X\nint x;\n#else\n#endif\n#undef X\n"}, "src/mmu/x.c:1: #ifdef"),
    ({"src/kern/x.c": "#ifdef X\n#endif\n"}, None),
    # one verb in an expression
    (verbs("x = READ_ONCE(a) + READ_ONCE(b);"), "src/mmu/x.c:3: two environment verbs"),
    (verbs("f(READ_ONCE(a), READ_ONCE(b));"), "environment verbs in two"),
    (verbs("f(READ_ONCE(a), b && READ_ONCE(c));"), "environment verbs in two"),
    (verbs("f(a, READ_ONCE(b) + 1, READ_ONCE(c));"), "environment verbs in two"),
    (verbs("x = READ_ONCE(a) | (b ? need_resched() : 0);"), "two environment verbs"),
    (verbs("WRITE_ONCE(a, READ_ONCE(b));"), "two environment verbs"),
    (verbs("struct s s = { READ_ONCE(a), READ_ONCE(b) };"), "environment verbs in two"),
    (verbs("if (READ_ONCE(a) == atomic_read(&b))\n\t\tg();"), "two environment verbs"),
    (verbs("for_each_x(a, READ_ONCE(b) + xchg(c, d))\n\t\tg();"), "two environment verbs"),
    (verbs("if (READ_ONCE(a) && READ_ONCE(b))\n\t\tx = READ_ONCE(c);"), None),
    (verbs("x = a ? READ_ONCE(b) : READ_ONCE(c);"), None),
    (verbs("int x = READ_ONCE(a), y = READ_ONCE(b);"), None),
    (verbs("for (x = READ_ONCE(a); READ_ONCE(b); x = READ_ONCE(c))\n\t\tREAD_ONCE(d);"), None),
    (verbs("do {\n\t} while (!try_cmpxchg64(p, &o, n) || need_resched());"), None),
    (verbs("x = ({ READ_ONCE(a); READ_ONCE(b); });"), None),
    (verbs("x = rcu_dereference_check(p, rcu_read_lock_held());"), None),
    (verbs("x = READ_ONCE(a); /* READ_ONCE(b) */ y = READ_ONCE(c);"), None),
    ({"src/mmu/x.c": "#define X(a) (READ_ONCE(a) + \\\n\tREAD_ONCE(b))\n"}, None),
    ({"src/workload/x.c": "int x = READ_ONCE(a) + READ_ONCE(b);\n"}, None),
]


def verdict(files, expected):
    """None if check.py says what it should, else what is wrong."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            file = Path(root, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        lines = check.problems(root)
    if expected is None:
        return f"expected silence, got {lines}" if lines else None
    if not any(expected in line for line in lines):
        return f"expected a line with '{expected}', got {lines}"
    return None


def main():
    failures = 0
    for files, expected in SAMPLES:
        wrong = verdict(files, expected)
        if wrong:
            failures += 1
            print(f"{dict(files)}\n  {wrong}")
    print(f"{len(SAMPLES)} samples, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
