// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_boot.h"

#include <sys/random.h>

#include <array>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/boot/firmware/firmware_image.h"
#include "libvmm/boot/firmware/reset_vector.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/boot/linux/bz_image.h"
#include "libvmm/boot/linux/kernel_payload.h"
#include "libvmm/boot/linux/linux_boot.h"
#include "libvmm/boot/linux/pvh_kernel.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/boot/multiboot/multiboot_image.h"

namespace libvmm {

namespace {

constexpr size_t kRandomSeedSize = 32;

absl::Status At(absl::string_view field, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(field, ": ", status.message()));
}

absl::StatusOr<ImageFile> OpenFile(PcHost& host, absl::string_view field,
                                   absl::string_view path) {
  if (host.progress) host.progress(field);
  absl::StatusOr<ImageFile> file =
      host.open_file ? host.open_file(path) : ImageFile::Open(path);
  if (!file.ok()) return At(field, file.status());
  return file;
}

absl::StatusOr<std::vector<std::byte>> RandomSeed(PcHost& host) {
  if (host.random_seed.has_value()) return *host.random_seed;
  std::vector<std::byte> seed(kRandomSeedSize);
  if (getrandom(seed.data(), seed.size(), 0) !=
      static_cast<ssize_t>(seed.size())) {
    return ErrnoStatus(errno, "getrandom");
  }
  return seed;
}

bool IsElf(std::span<const std::byte> file) {
  constexpr std::array kMagic = {std::byte{0x7f}, std::byte{'E'},
                                 std::byte{'L'}, std::byte{'F'}};
  return file.size() >= kMagic.size() &&
         std::equal(kMagic.begin(), kMagic.end(), file.begin());
}

absl::Status LoadBzImage(const BzImage& kernel, const LinuxBootOptions& options,
                         const PcBootParts& parts) {
  GuestMemory& memory = parts.memory.guest_memory();
  LIBVMM_ASSIGN_OR_RETURN(const BzImageStart start,
                          kernel.Load(options, memory));
  return EnterBzImage(parts.vcpu, memory, start);
}

absl::Status LoadPvh(std::span<const std::byte> file, LinuxBootOptions options,
                     const PcBootParts& parts) {
  // PVH has no place for it.
  options.random_seed = {};
  GuestMemory& memory = parts.memory.guest_memory();
  LIBVMM_ASSIGN_OR_RETURN(const PvhKernel kernel, PvhKernel::Parse(file));
  LIBVMM_ASSIGN_OR_RETURN(const PvhStart start, kernel.Load(options, memory));
  return EnterPvh(parts.vcpu, memory, start);
}

absl::Status LoadUnpacked(std::span<const std::byte> file,
                          const LinuxBootOptions& options,
                          const PcBootParts& parts) {
  LIBVMM_ASSIGN_OR_RETURN(const BzImage kernel, BzImage::Parse(file));
  if (parts.host.progress) parts.host.progress("unpacking the kernel");
  LIBVMM_ASSIGN_OR_RETURN(const KernelPayload payload,
                          KernelPayload::Unpack(kernel.payload()));
  return LoadPvh(payload.bytes(), options, parts);
}

absl::Status LoadKernel(const PcLinuxBoot& boot, const ImageFile& kernel,
                        const LinuxBootOptions& options,
                        const PcBootParts& parts) {
  using Protocol = PcLinuxBoot::Protocol;
  switch (boot.protocol) {
    case Protocol::kUnpackedPvh:
      return LoadUnpacked(kernel.bytes(), options, parts);
    case Protocol::kPvh:
      return LoadPvh(kernel.bytes(), options, parts);
    case Protocol::kAuto:
      if (IsElf(kernel.bytes())) return LoadPvh(kernel.bytes(), options, parts);
      break;
    case Protocol::kBzImage:
      break;
  }
  LIBVMM_ASSIGN_OR_RETURN(const BzImage image, BzImage::Parse(kernel.bytes()));
  return LoadBzImage(image, options, parts);
}

absl::Status Load(const std::monostate&, const PcBootParts&) {
  return absl::OkStatus();
}

absl::Status Load(const PcLinuxBoot& boot, const PcBootParts& parts) {
  LinuxBootOptions options{.memory_map = parts.memory_map, .rsdp = parts.rsdp};
  LIBVMM_RETURN_IF_ERROR(At("boot.linux.command_line",
                            options.command_line.Append(boot.command_line)));
  LIBVMM_ASSIGN_OR_RETURN(
      const ImageFile kernel,
      OpenFile(parts.host, "boot.linux.kernel", boot.kernel));
  std::optional<ImageFile> initrd;
  if (!boot.initrd.empty()) {
    LIBVMM_ASSIGN_OR_RETURN(
        initrd, OpenFile(parts.host, "boot.linux.initrd", boot.initrd));
    options.initrd = initrd->bytes();
  }
  LIBVMM_ASSIGN_OR_RETURN(const std::vector<std::byte> seed,
                          RandomSeed(parts.host));
  options.random_seed = seed;
  return At("boot.linux", LoadKernel(boot, kernel, options, parts));
}

absl::Status Load(const PcMultibootBoot& boot, const PcBootParts& parts) {
  LIBVMM_ASSIGN_OR_RETURN(
      const ImageFile kernel,
      OpenFile(parts.host, "boot.multiboot.kernel", boot.kernel));
  std::vector<ImageFile> files;
  std::vector<MultibootImage::Module> modules;
  for (const PcMultibootBoot::Module& module : boot.modules) {
    LIBVMM_ASSIGN_OR_RETURN(
        ImageFile file,
        OpenFile(parts.host, "boot.multiboot.modules", module.file));
    // A move keeps the bytes where they are.
    modules.push_back({.bytes = file.bytes(), .string = module.command_line});
    files.push_back(std::move(file));
  }
  GuestMemory& memory = parts.memory.guest_memory();
  absl::StatusOr<MultibootImage> image = MultibootImage::Parse(kernel.bytes());
  LIBVMM_RETURN_IF_ERROR(At("boot.multiboot.kernel", image.status()));
  const absl::StatusOr<MultibootStart> start =
      image->Load({.memory_map = parts.memory_map,
                   .command_line = boot.command_line,
                   .modules = modules},
                  memory);
  LIBVMM_RETURN_IF_ERROR(At("boot.multiboot", start.status()));
  return EnterMultiboot(parts.vcpu, memory, *start);
}

absl::Status Load(const PcElfBoot& boot, const PcBootParts& parts) {
  LIBVMM_ASSIGN_OR_RETURN(const ImageFile file,
                          OpenFile(parts.host, "boot.elf.image", boot.image));
  const absl::StatusOr<ElfImage> image = ElfImage::Parse(file.bytes());
  LIBVMM_RETURN_IF_ERROR(At("boot.elf.image", image.status()));
  GuestMemory& memory = parts.memory.guest_memory();
  LIBVMM_RETURN_IF_ERROR(At("boot.elf.image", image->Load(memory)));
  // Where a PC has its first free RAM; a kernel is linked above 1 MiB.
  constexpr GpaRange kTables{Gpa(0x10000), 0x10000};
  constexpr Gva kStackTop(0x90000);
  const PageMapping everything[] = {IdentityMapping(
      {Gpa(0), uint64_t{4} << 30}, {.writable = true, .executable = true})};
  return At("boot.elf", EnterLongMode(parts.vcpu, memory,
                                      {.entry = image->entry(),
                                       .stack_top = kStackTop,
                                       .tables = kTables,
                                       .mappings = everything}));
}

absl::Status Load(const PcFirmwareBoot& boot, const PcBootParts& parts) {
  LIBVMM_ASSIGN_OR_RETURN(
      const ImageFile file,
      OpenFile(parts.host, "boot.firmware.image", boot.image));
  const absl::StatusOr<FirmwareImage> image =
      FirmwareImage::Create(file.bytes());
  LIBVMM_RETURN_IF_ERROR(At("boot.firmware.image", image.status()));
  LIBVMM_RETURN_IF_ERROR(
      At("boot.firmware.image", image->AddRom(parts.memory)));
  LIBVMM_RETURN_IF_ERROR(At("boot.firmware.image",
                            image->WriteShadow(parts.memory.guest_memory())));
  return EnterResetVector(parts.vcpu);
}

}  // namespace

absl::Status LoadPcBoot(const PcBoot& boot, const PcBootParts& parts) {
  return std::visit(
      [&parts](const auto& alternative) { return Load(alternative, parts); },
      boot);
}

}  // namespace libvmm
