// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/instance.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/vcpu_image.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/image_contents.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"

namespace libvmm::sandbox::internal {
namespace {

constexpr uint64_t kPageSize = RuntimeLayout::kPageSize;

// The direct map has pages of this size.
constexpr uint64_t kMemoryUnit = uint64_t{2} << 20;
constexpr uint64_t kLargestMemory = uint64_t{64} << 30;
constexpr uint64_t kSmallestStack = 64 << 10;

// Not mapped below each stack.
constexpr uint64_t kStackGuard = 64 << 10;

// Between a program and its heap, as a guard.
constexpr uint64_t kHeapGap = 64 << 10;

absl::Status CheckStack(absl::string_view name, uint64_t size) {
  if (size >= kSmallestStack && size % kPageSize == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", size, ", expected a multiple of ", kPageSize,
                   " from ", kSmallestStack));
}

}  // namespace

absl::Status Instance::CheckOptions(const SandboxOptions& options) {
  const uint64_t size = options.memory_size;
  if (size == 0 || size > kLargestMemory || size % kMemoryUnit != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory_size is ", size, ", expected a multiple of ",
                     kMemoryUnit, " up to ", kLargestMemory));
  }
  LIBVMM_RETURN_IF_ERROR(
      CheckStack("program_stack_size", options.program_stack_size));
  return CheckStack("call_stack_size", options.call_stack_size);
}

Instance::Instance(std::shared_ptr<const Setup> setup, SandboxHost host,
                   std::unique_ptr<Cell> cell,
                   std::unique_ptr<AddressSpace> space)
    : setup_(std::move(setup)),
      syscall_host_{
          .clock = host.clock != nullptr ? host.clock : &system_clock_,
          .sleep = std::move(host.sleep),
          .random = std::move(host.random)},
      user_data_(host.user_data),
      kill_requested_(std::make_shared<std::atomic<bool>>(false)),
      cell_(std::move(cell)),
      space_(std::move(space)) {}

Instance::~Instance() = default;

absl::StatusOr<std::unique_ptr<Instance>> Instance::Create(
    const Engine& engine, const Program& program, SandboxOptions options,
    SandboxHost host) {
  LIBVMM_RETURN_IF_ERROR(CheckOptions(options));
  const uint64_t size = options.memory_size;
  // Not sealed yet: Freeze does it.
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion memory,
      MemoryRegion::Memfd({.size = size,
                           .name = "libvmm-sandbox",
                           .huge_pages = MemoryRegion::HugePages::kDefault,
                           .seal = false}));
  LIBVMM_ASSIGN_OR_RETURN(
      Cell created, Cell::Create({engine.kvm(), engine.cpuid(), engine.cpu(),
                                  engine.syscall_entry()},
                                 std::move(memory)));
  auto cell = std::make_unique<Cell>(std::move(created));
  if (!WriteRuntime(cell->memory(), engine.syscall_entry())) {
    return absl::InternalError("the runtime does not fit into memory");
  }
  LIBVMM_ASSIGN_OR_RETURN(
      std::unique_ptr<AddressSpace> space,
      AddressSpace::Create(
          cell->memory(),
          {.managed = {RuntimeLayout::kEnd, size - RuntimeLayout::kEnd.value()},
           .supervisor = RuntimeMappings(size),
           .refuse_writable_executable = !options.allow_writable_code,
           .stack_limit = options.program_stack_size,
           .layout_seed = options.layout_seed}));
  LIBVMM_ASSIGN_OR_RETURN(const LoadedProgram loaded,
                          LoadProgram(program, options.host_functions,
                                      options.layout_seed, *space));
  auto setup = std::make_shared<Setup>(
      Setup{engine, program, std::move(options), loaded, {}, {}});
  StandardStreams streams = std::move(host.streams);
  std::unique_ptr<Instance> instance(
      new Instance(setup, std::move(host), std::move(cell), std::move(space)));
  LIBVMM_ASSIGN_OR_RETURN(setup->call_stack_top,
                          instance->MapStack(setup->options.call_stack_size));
  LIBVMM_ASSIGN_OR_RETURN(
      setup->program_stack_top,
      instance->MapStack(setup->options.program_stack_size));
  instance->space_->SetHeapStart(loaded.end + kHeapGap);
  // No instruction has run: nothing is cached that could be stale.
  std::array<StaleRange, 64> stale;
  while (instance->space_->TakeStale(stale) != 0) continue;
  LIBVMM_ASSIGN_OR_RETURN(
      instance->cpu_,
      GuestCpu::Create(*instance->cell_, engine.cpu(), engine.syscall_entry(),
                       instance->space_->root()));
  if (setup->options.random_seed) {
    instance->process_.random.emplace(*setup->options.random_seed);
  }
  LIBVMM_RETURN_IF_ERROR(instance->MakeFiles(std::move(streams), nullptr));
  instance->initialized_ = program.initializers().empty();
  return instance;
}

absl::StatusOr<std::unique_ptr<Instance>> Instance::Clone(
    std::shared_ptr<const ImageContents> image, SandboxHost host) {
  const Setup& setup = *image->setup;
  const Engine& engine = setup.engine;
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd fd, image->memory.Duplicate());
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion memory,
      MemoryRegion::File(std::move(fd), {.size = setup.options.memory_size,
                                         .no_reserve = true}));
  LIBVMM_ASSIGN_OR_RETURN(
      Cell created, Cell::Create({engine.kvm(), engine.cpuid(), engine.cpu(),
                                  engine.syscall_entry()},
                                 std::move(memory)));
  auto cell = std::make_unique<Cell>(std::move(created));
  std::unique_ptr<AddressSpace> space =
      AddressSpace::Create(cell->memory(), image->space);
  StandardStreams streams = std::move(host.streams);
  std::unique_ptr<Instance> instance(new Instance(
      image->setup, std::move(host), std::move(cell), std::move(space)));
  LIBVMM_ASSIGN_OR_RETURN(
      instance->cpu_,
      GuestCpu::Create(*instance->cell_, engine.cpu(), engine.syscall_entry(),
                       instance->space_->root()));
  instance->image_ = std::move(image);
  instance->process_ = instance->image_->process;
  LIBVMM_RETURN_IF_ERROR(
      instance->MakeFiles(std::move(streams), &instance->image_->files));
  instance->initialized_ = instance->image_->initialized;
  // No code in ring 3 can change it, so this is the one time. Where KVM keeps
  // it, the counter goes on as that of the sandbox that was frozen.
  LIBVMM_RETURN_IF_ERROR(
      instance->image_->vcpu.Restore(instance->cell_->vcpu(), VcpuParts::kTsc));
  LIBVMM_RETURN_IF_ERROR(instance->RestoreRest());
  return instance;
}

absl::StatusOr<Gva> Instance::MapStack(uint64_t size) {
  const int64_t start = space_->Map({.size = size + kStackGuard});
  const Gva bottom(static_cast<uint64_t>(start));
  if (start < 0 || space_->Protect({bottom + kStackGuard, size},
                                   {.readable = true, .writable = true}) < 0) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "memory_size is too small for a stack of ", size, " bytes"));
  }
  return bottom + kStackGuard + size;
}

absl::Status Instance::MakeFiles(StandardStreams streams,
                                 const FileSystemState* state) {
  FileSystem::Options options{
      .tree = setup_->options.files,
      .limits = setup_->options.file_limits,
      .streams = std::move(streams),
      .random =
          [this](std::span<std::byte> bytes) { context_->FillRandom(bytes); },
      .now = [this] { return context_->Now(); }};
  if (state == nullptr) {
    LIBVMM_ASSIGN_OR_RETURN(files_, FileSystem::Create(std::move(options)));
  } else {
    LIBVMM_ASSIGN_OR_RETURN(files_,
                            FileSystem::CreateFrom(*state, std::move(options)));
  }
  context_.emplace(
      SyscallContext::Parts{*space_, *files_, process_, syscall_host_});
  return absl::OkStatus();
}

absl::StatusOr<Killer> Instance::killer() {
  LIBVMM_ASSIGN_OR_RETURN(Kicker kicker, cell_->vcpu().kicker());
  return Killer(kill_requested_, std::move(kicker));
}

bool Instance::ReadUser(Gva from, std::span<std::byte> to) {
  return UserMemory(*space_).Read(from, to);
}

bool Instance::WriteUser(Gva to, std::span<const std::byte> from) {
  return UserMemory(*space_).Write(to, from);
}

bool Instance::ReadUserString(Gva from, size_t max, std::string& text) {
  std::optional<UserMemory::String> read =
      UserMemory(*space_).ReadString(from, max);
  if (!read || read->too_long) return false;
  text = std::move(read->text);
  return true;
}

}  // namespace libvmm::sandbox::internal
