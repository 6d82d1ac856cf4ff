// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/sandbox.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/fault_text.h"
#include "libvmm/sandbox/image_contents.h"
#include "libvmm/sandbox/instance.h"

namespace libvmm::sandbox {

Sandbox::Sandbox(std::unique_ptr<internal::Instance> instance)
    : instance_(std::move(instance)) {}
Sandbox::Sandbox(Sandbox&&) noexcept = default;
Sandbox& Sandbox::operator=(Sandbox&&) noexcept = default;
Sandbox::~Sandbox() = default;

absl::StatusOr<Sandbox> Sandbox::Create(const Engine& engine,
                                        const Program& program,
                                        SandboxOptions options,
                                        SandboxHost host) {
  LIBVMM_ASSIGN_OR_RETURN(
      std::unique_ptr<internal::Instance> instance,
      internal::Instance::Create(engine, program, std::move(options),
                                 std::move(host)));
  return Sandbox(std::move(instance));
}

absl::StatusOr<Sandbox> Sandbox::Create(const Image& image, SandboxHost host) {
  LIBVMM_ASSIGN_OR_RETURN(
      std::unique_ptr<internal::Instance> instance,
      internal::Instance::Clone(image.contents_, std::move(host)));
  return Sandbox(std::move(instance));
}

void Sandbox::UseThread(VcpuThread* thread) { instance_->UseThread(thread); }

void Sandbox::set_user_data(void* user_data) {
  instance_->set_user_data(user_data);
}

absl::StatusOr<Killer> Sandbox::killer() { return instance_->killer(); }

absl::StatusOr<Outcome<int>> Sandbox::Run(
    const std::vector<std::string>& arguments,
    const std::vector<std::string>& environment, const CallLimits& limits) {
  LIBVMM_ASSIGN_OR_RETURN(
      const RawOutcome outcome,
      instance_->RunProgram(arguments, environment, limits));
  return MakeOutcome<int>(outcome);
}

absl::StatusOr<Outcome<void>> Sandbox::Initialize(const CallLimits& limits) {
  LIBVMM_ASSIGN_OR_RETURN(const RawOutcome outcome,
                          instance_->RunInitializers(limits));
  return MakeOutcome<void>(outcome);
}

absl::StatusOr<RawOutcome> Sandbox::CallRaw(Gva function,
                                            const CallArguments& call,
                                            bool returns_double,
                                            const CallLimits& limits) {
  return instance_->Call(function, call, returns_double, limits);
}

absl::StatusOr<RawOutcome> Sandbox::ResumeRaw(const CallLimits& limits) {
  return instance_->Resume(limits);
}

absl::Status Sandbox::Complete(uint64_t result) {
  return instance_->Complete(result);
}

const Fault& Sandbox::fault() const { return instance_->fault(); }

std::string Sandbox::DescribeFault() const {
  return FaultText(instance_->fault(), instance_->setup().program,
                   instance_->setup().loaded.bias);
}

const kvm_regs& Sandbox::registers() const { return instance_->registers(); }

bool Sandbox::needs_reset() const {
  return instance_->state() == internal::SandboxState::kNeedsReset;
}

UserMemory Sandbox::memory() { return UserMemory(instance_->space()); }

absl::StatusOr<Gva> Sandbox::Address(absl::string_view symbol) const {
  const std::optional<ProgramSymbol> found =
      instance_->setup().program.FindSymbol(symbol);
  if (!found) {
    return absl::NotFoundError(
        absl::StrCat("the program has no symbol ", symbol));
  }
  return found->gva + instance_->setup().loaded.bias;
}

absl::StatusOr<Gva> Sandbox::FindFunction(absl::string_view name) const {
  const std::optional<ProgramSymbol> found =
      instance_->setup().program.FindSymbol(name);
  if (!found || found->kind == SymbolKind::kObject) {
    return absl::NotFoundError(
        absl::StrCat("the program has no function ", name));
  }
  if (found->kind == SymbolKind::kIndirectFunction) {
    return absl::UnimplementedError(absl::StrCat(
        name, " is an indirect function, chosen when the program starts"));
  }
  return found->gva + instance_->setup().loaded.bias;
}

absl::StatusOr<Gva> Sandbox::Allocate(uint64_t size) {
  if (size == 0) return absl::InvalidArgumentError("size is 0");
  const int64_t at =
      instance_->space().Map({.size = size,
                              .access = {.readable = true, .writable = true},
                              .populate = true});
  if (at < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no ", size, " bytes of memory are left in the sandbox"));
  }
  return Gva(static_cast<uint64_t>(at));
}

FileSystem& Sandbox::files() { return instance_->files(); }

absl::StatusOr<Image> Sandbox::Freeze() {
  LIBVMM_ASSIGN_OR_RETURN(
      std::shared_ptr<const internal::ImageContents> contents,
      instance_->Freeze());
  return Image(std::move(contents));
}

bool Sandbox::IsOf(const Image& image) const {
  return instance_->image() != nullptr && instance_->image() == image.contents_;
}

absl::Status Sandbox::Reset() {
  return instance_->Reset(internal::Instance::Keep::kPages);
}
absl::Status Sandbox::ResetAndRelease() {
  return instance_->Reset(internal::Instance::Keep::kNothing);
}
absl::Status Sandbox::ResetStrictly() { return instance_->ResetStrictly(); }
absl::Status Sandbox::Verify() { return instance_->Verify(); }

}  // namespace libvmm::sandbox
