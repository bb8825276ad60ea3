# shellcheck shell=bash
# Debian packages: which are missing, and installing them.
# build.sh sources this.

missing_packages() {
	local package
	while read -r package; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
			say "$package"
	done < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$root/scripts/packages.txt")
}

install_missing() {
	local packages as_root=()
	type dpkg-query >/dev/null 2>&1 || {
		say "This is not a Debian system: install the likes of scripts/packages.txt yourself."
		return
	}
	mapfile -t packages < <(missing_packages)
	((${#packages[@]})) || return 0
	if ((EUID != 0)); then
		sudo -n true 2>/dev/null || { [[ -t 0 ]] && type sudo >/dev/null 2>&1; } ||
			fail "packages are missing and this is neither root nor can it use sudo. Run as root:
  apt-get update && apt-get install --no-install-recommends ${packages[*]}"
		as_root=(sudo)
	fi
	say "Installing the Debian packages that are missing: ${packages[*]}"
	"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 -q update ||
		say "apt-get update failed; trying with the package lists that are here"
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q -y \
		install --no-install-recommends "${packages[@]}" ||
		fail "apt-get could not install: ${packages[*]}"
}
