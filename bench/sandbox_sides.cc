// SPDX-License-Identifier: Apache-2.0
#include "bench/sandbox_sides.h"

#include <signal.h>
#include <unistd.h>

#include <climits>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/must.h"
#include "libvmm/base/check.h"
#include "libvmm/sandbox/host_functions.h"

namespace libvmm::bench {
namespace {

// Beside the benchmark.
std::string ProgramPath() {
  char path[PATH_MAX];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  LIBVMM_CHECK(size > 0);
  const absl::string_view self(path, static_cast<size_t>(size));
  return absl::StrCat(self.substr(0, self.rfind('/')), "/sandbox_program.elf");
}

VcpuThread ThisThread() {
  LIBVMM_CHECK(VcpuThread::InstallKickHandler(SIGUSR1).ok());
  return Must(VcpuThread::Attach(SIGUSR1));
}

sandbox::HostFunctions HostAdd() {
  sandbox::HostFunctions::Builder builder;
  LIBVMM_CHECK(
      builder.Define("host_add", [](long a, long b) { return a + b; }).ok());
  return std::move(builder).Build();
}

}  // namespace

SandboxSides::SandboxSides()
    : engine_(Must(sandbox::Engine::Open())),
      program_(Must(sandbox::Program::Open(ProgramPath()))),
      thread_(ThisThread()),
      origin_(Must(
          sandbox::Sandbox::Create(engine_, program_,
                                   {.memory_size = RawSandboxImage::kMemorySize,
                                    .host_functions = HostAdd()},
                                   {}))),
      raw_image_(engine_, program_) {
  sandbox::Sandbox& origin = *origin_;
  origin.UseThread(&thread_);
  LIBVMM_CHECK(Must(origin.Call<void>("fill_data")).returned());
  buffer_ = Must(origin.Allocate(kSpanSize));
  const std::vector<uint8_t> bytes(kSpanSize);
  LIBVMM_CHECK(
      Must(origin.Call<long>("take", std::span(bytes), kSpanSize)).returned());
  LIBVMM_CHECK(Must(origin.Call(Find<void()>("nothing"))).returned());
  image_ = Must(origin.Freeze());
}

sandbox::Sandbox SandboxSides::Clone() {
  sandbox::Sandbox clone = Must(sandbox::Sandbox::Create(*image_, {}));
  clone.UseThread(&thread_);
  return clone;
}

}  // namespace libvmm::bench
