// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/machine.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/loops/guest_image.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/boot/image_file.h"

namespace loops {

using namespace libvmm;

namespace {

constexpr absl::string_view kPrompt = "Say something: ";

// The guest that this program carries, as the file that a PC is booted from.
absl::StatusOr<ImageFile> OpenBuiltIn() {
  const UniqueFd fd(memfd_create("guest", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  const std::span<const std::byte> image = GuestImage();
  if (write(fd.get(), image.data(), image.size()) !=
      static_cast<ssize_t>(image.size())) {
    return ErrnoStatus(errno, "write(memfd)");
  }
  return ImageFile::Open(absl::StrCat("/proc/self/fd/", fd.get()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Machine>> Machine::Create(const Kvm& kvm,
                                                         Options options) {
  LIBVMM_ASSIGN_OR_RETURN(EventFd input_wanted, EventFd::Create());
  LIBVMM_ASSIGN_OR_RETURN(EventFd thread_ended, EventFd::Create());
  std::unique_ptr<Machine> machine(new Machine(
      std::move(options), std::move(input_wanted), std::move(thread_ended)));
  Machine& self = *machine;

  PcConfig config{.memory = {.size_mib = 16, .huge_pages = false},
                  .irqchip = self.options_.irqchip};
  config.boot = PcElfBoot{.image = self.options_.guest};
  PcHost host;
  host.serial[0] = {
      .output =
          [&self](std::span<const std::byte> bytes) { self.Print(bytes); },
      .input_ready = [&self] { self.input_wanted_.event().Signal(); }};
  if (self.options_.guest.empty()) {
    config.boot = PcElfBoot{.image = "built in"};
    host.open_file = [](absl::string_view) { return OpenBuiltIn(); };
  }
  LIBVMM_ASSIGN_OR_RETURN(self.pc_, Pc::Create(kvm, config, std::move(host)));

  const auto of_pc = self.pc_->event_sources();
  self.event_sources_.assign(of_pc.begin(), of_pc.end());
  self.event_sources_.push_back(&self.input_wanted_);
  self.event_sources_.push_back(&self.thread_ended_);
  return machine;
}

Machine::Machine(Options options, EventFd input_wanted, EventFd thread_ended)
    : options_(std::move(options)),
      input_wanted_(std::move(input_wanted), [this] { Type(); }),
      thread_ended_(std::move(thread_ended), [this] {
        if (on_end_) on_end_();
      }) {}

Machine::~Machine() {
  if (pc_ == nullptr) return;
  pc_->Stop({.reason = PcStopReason::kPowerOff, .source = "the program"});
  (void)Join();
}

void Machine::Start(absl::AnyInvocable<void()> on_end) {
  on_end_ = std::move(on_end);
  threads_.emplace(*pc_, thread_ended_.event());
}

absl::Status Machine::Join() {
  return threads_.has_value() ? threads_->Join() : absl::OkStatus();
}

void Machine::Print(std::span<const std::byte> bytes) {
  const absl::string_view text(reinterpret_cast<const char*>(bytes.data()),
                               bytes.size());
  if (options_.output) options_.output(text);
  if (absl::EndsWith(printed_, kPrompt)) return;
  absl::StrAppend(&printed_, text);
  if (absl::EndsWith(printed_, kPrompt)) input_wanted_.event().Signal();
}

void Machine::Type() {
  asked_ = true;
  if (!options_.input.has_value()) return;
  const auto left = std::as_bytes(std::span(*options_.input)).subspan(typed_);
  // What does not fit is offered again when the UART has room: input_ready.
  if (!left.empty()) typed_ += pc_->serial(0)->Receive(left);
}

}  // namespace loops
