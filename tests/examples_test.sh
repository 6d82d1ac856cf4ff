#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs every example as a user would and looks at what it prints and exits with.
set -uo pipefail

if [[ ! -w /dev/kvm ]]; then
  [[ ${LIBVMM_REQUIRE_KVM:-} != 1 ]] || { echo "/dev/kvm cannot be opened"; exit 1; }
  # A skip that is counted, in the format that tools/test reads.
  cat > "${XML_OUTPUT_FILE:-/dev/null}" <<'XML'
<testsuites><testsuite name="examples_test"><testcase name="all"
classname="examples_test"><skipped message="/dev/kvm cannot be opened"/></testcase>
</testsuite></testsuites>
XML
  exit 0
fi

failures=0
# expect NAME CODE TEXT COMMAND...: the command exits with CODE and prints TEXT.
expect() {
  local name=$1 code=$2 text=$3 output actual=0
  shift 3
  output=$("$@" 2>&1) || actual=$?
  if (( actual != code )) || [[ $output != *"$text"* ]]; then
    echo "FAILED $name: exit code $actual, expected $code with '$text':"
    echo "$output"
    failures=$(( failures + 1 ))
  else
    echo "passed $name"
  fi
}

examples=$PWD/examples
work=$(mktemp -d "${TEST_TMPDIR:-/tmp}/examples.XXXXXX")
printf '\xb0\x07\xe6\xf4' > "$work/exit15"  # mov al, 7; out 0xf4, al
printf '\xeb\xfe' > "$work/spin"            # jmp to itself
printf '\x7fELF' > "$work/short.elf"
: > "$work/empty"

expect hello 0 "The answer is 42" "$examples/hello"
expect readme 0 "port 0xe9+0: '2'" "$examples/readme"
expect two_vms 0 "over the deadline by" "$examples/two_vms_one_thread" 1
expect two_vms_help 0 "usage:" "$examples/two_vms_one_thread" --help
expect two_vms_usage 2 "usage:" "$examples/two_vms_one_thread" 0

run=$examples/run_guest
expect run_guest 33 "All checks passed." "$run"
expect run_guest_counts 33 "KVM_EXIT_MMIO write 0xd0000000" "$run"
expect run_guest_user 33 "All checks passed." "$run" --user
expect run_guest_flat 15 "exit code 15" "$run" --flat "$work/exit15"
expect run_guest_timeout 124 "stopped after 1s" "$run" --timeout 1 --flat "$work/spin"
expect run_guest_help 0 "usage: run_guest" "$run" --help
expect run_guest_bad_flag 2 "see --help" "$run" --nonsense
expect run_guest_bad_memory 2 "--memory takes" "$run" --memory 0
expect run_guest_two_images 2 "more than one IMAGE" "$run" a b
expect run_guest_no_file 126 "$work/absent" "$run" "$work/absent"
expect run_guest_bad_elf 126 "ELF" "$run" "$work/short.elf"
expect run_guest_empty 126 "empty" "$run" --flat "$work/empty"
expect run_guest_small 126 "ELF" "$run" --memory 1

for loop in run_with_epoll run_with_libuv run_with_asio run_with_glib run_inline; do
  program=$examples/loops/$loop
  expect $loop 0 "That was 5 characters." "$program" --input hello
  expect ${loop}_stop 0 "Stopped: power-off (ACPI PM1a)." "$program"
  expect ${loop}_help 0 "usage:" "$program" --help
done
expect loops_guest 0 "Stopped: power-off" "$program" --guest "$examples/loops/guest.elf"
expect loops_no_guest 126 "$work/absent" "$program" --guest "$work/absent"
expect loops_bad_guest 126 "boot.elf.image" "$program" --guest "$work/short.elf"
expect loops_bad_flag 2 "see --help" "$program" --nonsense

vmm=$examples/vmm/vmm
guest=$examples/vmm/guest/guest.elf
# type_keys NAME CODE TEXT KEYS COMMAND...: as expect, with KEYS typed.
type_keys() {
  local name=$1 code=$2 text=$3 keys=$4
  shift 4
  expect "$name" "$code" "$text" bash -c 'printf %s "$0" | "$@"' "$keys" "$@"
}
expect vmm_help 0 "usage: vmm" "$vmm" --help
expect vmm_no_option 2 "nothing to boot" "$vmm"
expect vmm_bad_flag 2 "what is --nonsense? See --help" "$vmm" --nonsense
expect vmm_bad_memory 2 "--memory takes MiB" "$vmm" --memory x
expect vmm_no_file 126 "boot.linux.kernel: open($work/absent)" "$vmm" \
  --kernel "$work/absent"
expect vmm_no_config 126 "--config: open($work/absent)" "$vmm" --config "$work/absent"
expect vmm_bad_elf 126 "boot.elf.image" "$vmm" --elf "$work/short.elf"
type_keys vmm_guest 0 "power-off (ACPI PM1a)" q "$vmm" --elf "$guest" --memory 16
type_keys vmm_stats 15 "KVM_EXIT_IO write 0xf4" e "$vmm" --elf "$guest" --memory 16 \
  --exit-port --stats
type_keys vmm_quit 130 "reading the program" $'\x01x' "$vmm" --elf "$guest" --memory 16

sandbox=$examples/sandbox_run/sandbox_run
busybox=libvmm/sandbox/program/busybox
expect sandbox_help 0 "usage: sandbox_run" "$sandbox" --help
expect sandbox_no_program 125 "no program" "$sandbox"
expect sandbox_bad_flag 125 "what is --nonsense? See --help" "$sandbox" --nonsense
expect sandbox_no_file 127 "open($work/absent)" "$sandbox" -- "$work/absent"
expect sandbox_bad_elf 126 "ELF" "$sandbox" -- "$work/short.elf"
expect sandbox_shell 7 "1024" "$sandbox" -- "$busybox" sh -c 'echo $((1 << 10)); exit 7'
expect sandbox_timeout 124 "--timeout was reached" "$sandbox" --timeout 200ms -- \
  "$busybox" sleep 100
type_keys sandbox_input 0 "ABC" abc "$sandbox" -- "$busybox" tr a-z A-Z

plugin_host=$examples/plugin_host/plugin_host
expect plugin_host 0 "24 misbehaved, 0 surprises; 4 notes" "$plugin_host" --calls 480 \
  --misbehave 20 --limit 200ms
expect plugin_host_end 0 "kFaulted: forbidden system call 87 unlink" "$plugin_host" \
  --calls 6 --misbehave 1 --limit 200ms
expect plugin_host_help 0 "usage:" "$plugin_host" --help
expect plugin_host_bad_flag 2 "see --help" "$plugin_host" --nonsense
expect plugin_host_bad_number 2 "--calls takes a number" "$plugin_host" --calls x

source=$(dirname "$(readlink -f WORKSPACE)")/examples
for example in two_vms_network disk_in_memory; do
  program=$examples/$example/$example
  expect ${example}_usage 2 "usage: $example KERNEL INITRD" "$program"
  expect ${example}_no_kernel 1 "boot.linux.kernel: open($work/absent)" "$program" \
    "$work/absent" "$work/absent"
  expect ${example}_help 0 "examples/$example/run [--lab]" "$source/$example/run" --help
  expect ${example}_bad_flag 2 "what is --nonsense? See --help" \
    "$source/$example/run" --nonsense
done

boot_debian=$source/boot_debian
expect boot_debian_help 0 "[-- VMM OPTIONS]" "$boot_debian" --help
expect boot_debian_bad_flag 2 "what is --smp? VMM OPTIONS stand behind --" \
  "$boot_debian" --smp 2
expect boot_debian_no_value 2 "--append needs a value" "$boot_debian" --lab --append
exit $(( failures != 0 ))
