// SPDX-License-Identifier: Apache-2.0
#include "tests/sandbox/hostile_guest.h"

#include <signal.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libvmm/base/status_macros.h"

namespace libvmm::sandbox {
namespace {

constexpr int kSignal = SIGUSR1;
constexpr char kProgram[] = "tests/sandbox/hostile.elf";

}  // namespace

// Much more than any code of the tests needs that does not hang.
const CallLimits HostileGuest::kLimits = {.after = absl::Seconds(2)};

absl::StatusOr<std::unique_ptr<HostileGuest>> HostileGuest::Create(
    SandboxOptions options, SandboxHost host,
    std::span<const uint8_t> prepare) {
  std::unique_ptr<HostileGuest> guest(new HostileGuest);
  LIBVMM_ASSIGN_OR_RETURN(guest->engine_, Engine::Open());
  LIBVMM_ASSIGN_OR_RETURN(
      guest->program_, Program::Open(kProgram, {.allow_writable_code = true}));
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(kSignal));
  LIBVMM_ASSIGN_OR_RETURN(guest->thread_, VcpuThread::Attach(kSignal));
  options.allow_writable_code = true;
  LIBVMM_ASSIGN_OR_RETURN(guest->sandbox_,
                          Sandbox::Create(*guest->engine_, *guest->program_,
                                          std::move(options), std::move(host)));
  Sandbox& sandbox = *guest->sandbox_;
  sandbox.UseThread(&*guest->thread_);
  LIBVMM_ASSIGN_OR_RETURN(guest->data_, sandbox.Address("data"));
  LIBVMM_ASSIGN_OR_RETURN(guest->code_, sandbox.Address("code_page"));
  LIBVMM_ASSIGN_OR_RETURN(
      guest->run_code_,
      (sandbox.Find<uint64_t(const uint8_t*, uint64_t, const StartRegisters*)>(
          "run_code")));
  LIBVMM_ASSIGN_OR_RETURN(guest->count_, sandbox.Find<uint64_t()>("count"));
  // Pages that every call needs are there when it is frozen.
  LIBVMM_ASSIGN_OR_RETURN(const Outcome<uint64_t> warmed,
                          guest->Run(prepare, {.r15 = guest->data_.value()}));
  if (!warmed.returned()) return absl::InternalError(sandbox.DescribeFault());
  LIBVMM_ASSIGN_OR_RETURN(guest->image_, sandbox.Freeze());
  return guest;
}

absl::StatusOr<Outcome<uint64_t>> HostileGuest::Run(
    std::span<const uint8_t> code, const StartRegisters& registers,
    const CallLimits& limits) {
  return sandbox_->CallLimited(limits, *run_code_, code, code.size(),
                               std::span<const StartRegisters>(&registers, 1));
}

std::vector<uint64_t> HostileGuest::Words(size_t count) {
  std::vector<uint64_t> words(count);
  if (!sandbox_->memory().Read(
          data_, std::as_writable_bytes(std::span<uint64_t>(words)))) {
    words.clear();
  }
  return words;
}

absl::Status HostileGuest::CheckReset(bool verify) {
  LIBVMM_RETURN_IF_ERROR(sandbox_->Reset());
  if (verify) LIBVMM_RETURN_IF_ERROR(sandbox_->Verify());
  LIBVMM_ASSIGN_OR_RETURN(const Outcome<uint64_t> counted,
                          sandbox_->Call(*count_));
  if (counted.value() != 42) {
    return absl::InternalError(absl::StrCat(
        "counting on from 41 after a reset ended in ", EndName(counted.end()),
        " with ", counted.value(), ": ", sandbox_->DescribeFault()));
  }
  return absl::OkStatus();
}

}  // namespace libvmm::sandbox
