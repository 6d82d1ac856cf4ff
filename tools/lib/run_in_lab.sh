# Shared by examples that boot Debian's kernel: a script sources it behind lib.sh.

# run_example NAME OPTION... -- [--lab]: makes a kernel and an initrd with the --module
# and --program OPTIONs of tools/stock_kvm_lab, builds //examples/NAME and runs it with
# these, inside the stock-KVM lab where this machine's KVM cannot.
run_example() {
  local name=$1 lab=false options=() checked
  shift
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  shift
  while (( $# > 0 )); do
    [[ $1 == --lab ]] || { say "what is $1? See --help"; exit 2; }
    lab=true
    shift
  done
  local guest=${XDG_CACHE_HOME:-$HOME/.cache}/libvmm/$name
  say "fetching and packing the guest"
  tools/stock_kvm_lab --make-guest "$guest" "${options[@]}"
  say "building //examples/$name"
  bazel build --noshow_progress --ui_event_filters=-info \
    "//examples/$name" //examples/vmm
  local programs
  programs=$(bazel_bin)/examples
  if [[ $lab == false ]]; then
    if [[ ! -w /dev/kvm ]]; then
      say "/dev/kvm cannot be opened: running inside the stock-KVM lab"
      lab=true
    elif ! checked=$("$programs/vmm/vmm" --check); then
      say "${checked#vmm: }: running inside the stock-KVM lab"
      lab=true
    fi
  fi
  if [[ $lab == false ]]; then
    exec "$programs/$name/$name" "$guest/vmlinuz" "$guest/initrd"
  fi
  # One CPU: see tests/boot/debian_boot_test.py.
  exec tools/stock_kvm_lab --cpus 1 --limit 1200 --data "$guest=guest" \
    "//examples/$name" -- /programs/guest/vmlinuz /programs/guest/initrd
}
