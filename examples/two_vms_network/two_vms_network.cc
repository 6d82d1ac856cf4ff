// SPDX-License-Identifier: Apache-2.0
// Two VMs on one network cable, in one process: one serves a file by HTTP, the
// other pings it and fetches that. Beside the vCPUs' threads there is this one,
// the loop of both. examples/two_vms_network/run brings kernel and initrd.
#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "examples/loops/epoll_loop.h"
#include "examples/loops/event_fd_source.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/net/pair_net.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"

namespace {

using namespace libvmm;

constexpr absl::string_view kServerAddress = "192.168.5.1";
constexpr absl::string_view kClientAddress = "192.168.5.2";
constexpr absl::string_view kServerMac = "52:54:00:00:05:01";
constexpr absl::string_view kClientMac = "52:54:00:00:05:02";

// What a guest says, with its name before each line.
class Console {
 public:
  explicit Console(absl::string_view name) : name_(name) {}

  void Write(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) {
      const char c = static_cast<char>(byte);
      text_.push_back(c);
      line_.push_back(c);
      if (c != '\n') continue;
      std::printf("%s: %s", name_.c_str(), line_.c_str());
      std::fflush(stdout);
      line_.clear();
    }
  }

  // Only when nobody writes any more.
  [[nodiscard]] bool Has(absl::string_view text) const {
    return absl::StrContains(text_, text);
  }

 private:
  const std::string name_;
  std::string text_;
  std::string line_;
};

struct Images {
  std::string kernel;
  std::string initrd;
};

// A machine that runs `work` (tests/boot/guest/init has its words) and then
// powers off, on one end of the cable.
absl::StatusOr<std::unique_ptr<Pc>> MakeMachine(const Kvm& kvm,
                                                const Images& images,
                                                absl::string_view mac,
                                                const std::string& work,
                                                std::unique_ptr<NetBackend> end,
                                                Console& console) {
  const PcConfig config{
      .memory = {.size_mib = 256},
      .boot = PcLinuxBoot{.kernel = images.kernel,
                          .initrd = images.initrd,
                          .command_line = absl::StrCat(
                              "console=ttyS0 quiet net.ifnames=0 libvmm.work=",
                              work, " libvmm.do=poweroff")},
      .virtio = {.nets = {{.mac = std::string(mac)}}}};
  PcHost host;
  host.serial[0].output = [&console](std::span<const std::byte> bytes) {
    console.Write(bytes);
  };
  host.virtio.nets.emplace_back();
  host.virtio.nets[0].push_back(std::move(end));
  return Pc::Create(kvm, config, std::move(host));
}

absl::Status Main(const Images& images) {
  LIBVMM_ASSIGN_OR_RETURN(const Kvm kvm, Kvm::Open());
  LIBVMM_ASSIGN_OR_RETURN(PairNet::Ends cable, PairNet::Create());
  Console server_console("server");
  Console client_console("client");
  LIBVMM_ASSIGN_OR_RETURN(const std::unique_ptr<Pc> server,
                          MakeMachine(kvm, images, kServerMac,
                                      absl::StrCat("serve+", kServerAddress),
                                      std::move(cable.first), server_console));
  LIBVMM_ASSIGN_OR_RETURN(
      const std::unique_ptr<Pc> client,
      MakeMachine(kvm, images, kClientMac,
                  absl::StrCat("fetch+", kClientAddress, "+", kServerAddress),
                  std::move(cable.second), client_console));

  const SystemClock clock;
  LIBVMM_ASSIGN_OR_RETURN(loops::EpollLoop loop,
                          loops::EpollLoop::Create(clock));
  LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  bool ended = false;
  loops::EventFdSource end(std::move(event), [&ended] { ended = true; });
  EventSource* const ends[] = {&end};
  LIBVMM_RETURN_IF_ERROR(loop.Add(server->event_sources()));
  LIBVMM_RETURN_IF_ERROR(loop.Add(client->event_sources()));
  LIBVMM_RETURN_IF_ERROR(loop.Add(ends));
  vmm::VcpuThreads server_threads(*server, end.event());
  vmm::VcpuThreads client_threads(*client, end.event());
  absl::Status status;
  // One of them has powered off or failed: the client, as a rule.
  while (status.ok() && !ended) status = loop.RunOnce();
  for (Pc* pc : {server.get(), client.get()}) {
    pc->Stop({.reason = PcStopReason::kPowerOff, .source = "the end"});
  }
  status.Update(client_threads.Join());
  status.Update(server_threads.Join());
  LIBVMM_RETURN_IF_ERROR(status);
  if (!client_console.Has("work fetch 0")) {
    return absl::InternalError("the client did not get what the server has");
  }
  std::printf("The client has the server's file.\n");
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr,
                 "usage: two_vms_network KERNEL INITRD; see "
                 "examples/two_vms_network/run\n");
    return 2;
  }
  const absl::Status status = Main({.kernel = argv[1], .initrd = argv[2]});
  if (status.ok()) return 0;
  std::fprintf(stderr, "two_vms_network: %s\n",
               std::string(status.message()).c_str());
  return 1;
}
