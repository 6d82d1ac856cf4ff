// SPDX-License-Identifier: Apache-2.0
// A disk of a tebibyte that is nowhere: its blocks are computed when the guest
// reads them. The disk is one long text of numbered lines, and the guest, Linux,
// prints some of them. examples/disk_in_memory/run brings kernel and initrd.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "examples/loops/epoll_loop.h"
#include "examples/loops/event_fd_source.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/block/callback_disk.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"

namespace {

using namespace libvmm;

constexpr uint64_t kDiskSize = uint64_t{1} << 40;
// A number and a line feed.
constexpr uint64_t kLineSize = 16;
constexpr std::array kWanted = {uint64_t{0}, uint64_t{1'000'000'007},
                                kDiskSize / kLineSize - 1};

// Of the 16 bytes of a line; without its line feed.
std::string Line(uint64_t number) { return absl::StrFormat("%015u", number); }

// The disk's content. `to` is guest memory and may begin and end inside a line.
bool ComputeBlocks(uint64_t offset, std::span<std::byte> to) {
  while (!to.empty()) {
    const std::string line = Line(offset / kLineSize) + "\n";
    const auto rest =
        std::as_bytes(std::span(line)).subspan(offset % kLineSize);
    const size_t size = std::min(rest.size(), to.size());
    std::copy_n(rest.begin(), size, to.begin());
    to = to.subspan(size);
    offset += size;
  }
  return true;
}

PcConfig Config(const std::string& kernel, const std::string& initrd) {
  // What the guest's init does: tests/boot/guest/init.
  std::string command_line =
      "console=ttyS0 quiet libvmm.do=poweroff "
      "libvmm.work=";
  for (const uint64_t number : kWanted) {
    absl::StrAppend(&command_line, "dd+if=/dev/vda+status=none+bs=", kLineSize,
                    "+count=1+skip=", number, ",");
  }
  return {.memory = {.size_mib = 256},
          .boot = PcLinuxBoot{.kernel = kernel,
                              .initrd = initrd,
                              .command_line = command_line},
          // Without a path: the back-end is the program's own.
          .virtio = {.disks = {{.read_only = true}}}};
}

absl::StatusOr<std::string> Run(const Kvm& kvm, const PcConfig& config) {
  std::string console;
  PcHost host;
  host.serial[0].output = [&console](std::span<const std::byte> bytes) {
    const auto* const text = reinterpret_cast<const char*>(bytes.data());
    console.append(text, bytes.size());
    std::fwrite(text, 1, bytes.size(), stdout);
  };
  LIBVMM_ASSIGN_OR_RETURN(
      std::unique_ptr<CallbackDisk> disk,
      CallbackDisk::Create({.capacity = kDiskSize, .read = ComputeBlocks}));
  host.virtio.disks.push_back(std::move(disk));
  LIBVMM_ASSIGN_OR_RETURN(const std::unique_ptr<Pc> pc,
                          Pc::Create(kvm, config, std::move(host)));

  const SystemClock clock;
  LIBVMM_ASSIGN_OR_RETURN(loops::EpollLoop loop,
                          loops::EpollLoop::Create(clock));
  LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  bool ended = false;
  loops::EventFdSource end(std::move(event), [&ended] { ended = true; });
  EventSource* const ends[] = {&end};
  LIBVMM_RETURN_IF_ERROR(loop.Add(pc->event_sources()));
  LIBVMM_RETURN_IF_ERROR(loop.Add(ends));
  vmm::VcpuThreads threads(*pc, end.event());
  while (!ended) LIBVMM_RETURN_IF_ERROR(loop.RunOnce());
  LIBVMM_RETURN_IF_ERROR(threads.Join());
  return console;
}

absl::Status Main(const std::string& kernel, const std::string& initrd) {
  LIBVMM_ASSIGN_OR_RETURN(const Kvm kvm, Kvm::Open());
  LIBVMM_ASSIGN_OR_RETURN(const std::string console,
                          Run(kvm, Config(kernel, initrd)));
  for (const uint64_t number : kWanted) {
    if (!absl::StrContains(console, absl::StrCat("dd ", Line(number)))) {
      return absl::InternalError(
          absl::StrCat("the guest did not print line ", number));
    }
  }
  std::printf("The guest read %zu lines of a disk that does not exist.\n",
              kWanted.size());
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr,
                 "usage: disk_in_memory KERNEL INITRD; see "
                 "examples/disk_in_memory/run\n");
    return 2;
  }
  const absl::Status status = Main(argv[1], argv[2]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "disk_in_memory: %s\n",
               std::string(status.message()).c_str());
  return 1;
}
