"""./build.sh gate: is what this tree does to the MMU worse than what its base does? docs/gate.md"""
