// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/pool.h"

#include <optional>
#include <utility>

#include "libvmm/base/status_macros.h"

namespace libvmm::sandbox {
namespace {

// The one that came last, whose memory the host's caches still have.
std::optional<Sandbox> TakeLast(std::vector<Sandbox>& sandboxes) {
  if (sandboxes.empty()) return std::nullopt;
  Sandbox last = std::move(sandboxes.back());
  sandboxes.pop_back();
  return last;
}

}  // namespace

Pool::Pool(const Image& image, Options options)
    : image_(image), options_(std::move(options)) {}

absl::StatusOr<Sandbox> Pool::Clone() const {
  SandboxHost host = options_.host ? options_.host() : SandboxHost();
  // As after a Return: who takes it says whose it is.
  host.user_data = nullptr;
  return Sandbox::Create(image_, std::move(host));
}

absl::Status Pool::Reset(Sandbox& sandbox) const {
  if (options_.strict) LIBVMM_RETURN_IF_ERROR(sandbox.ResetStrictly());
  if (options_.release_memory) return sandbox.ResetAndRelease();
  return options_.strict ? absl::OkStatus() : sandbox.Reset();
}

absl::StatusOr<Sandbox> Pool::Take() {
  std::optional<Sandbox> used;
  {
    MutexLock lock(mutex_);
    if (std::optional<Sandbox> clean = TakeLast(clean_)) {
      return *std::move(clean);
    }
    used = TakeLast(used_);
  }
  if (!used) return Clone();
  LIBVMM_RETURN_IF_ERROR(Reset(*used));
  return *std::move(used);
}

absl::Status Pool::Return(Sandbox sandbox) {
  if (!sandbox.IsOf(image_)) {
    return absl::InvalidArgumentError(
        "the sandbox is not a clone of the pool's image");
  }
  sandbox.UseThread(nullptr);
  sandbox.set_user_data(nullptr);
  // Destroyed after the lock.
  std::optional<Sandbox> excess;
  MutexLock lock(mutex_);
  if (clean_.size() + used_.size() < options_.capacity) {
    used_.push_back(std::move(sandbox));
  } else {
    excess = std::move(sandbox);
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> Pool::Clean(size_t count) {
  size_t cleaned = 0;
  for (; cleaned < count; ++cleaned) {
    std::optional<Sandbox> used;
    {
      MutexLock lock(mutex_);
      used = TakeLast(used_);
    }
    if (!used) break;
    LIBVMM_RETURN_IF_ERROR(Reset(*used));
    AddClean(*std::move(used));
  }
  return cleaned;
}

absl::Status Pool::Fill(size_t count) {
  while (true) {
    {
      MutexLock lock(mutex_);
      if (clean_.size() >= count ||
          clean_.size() + used_.size() >= options_.capacity) {
        return absl::OkStatus();
      }
    }
    LIBVMM_ASSIGN_OR_RETURN(Sandbox sandbox, Clone());
    AddClean(std::move(sandbox));
  }
}

void Pool::AddClean(Sandbox sandbox) {
  std::optional<Sandbox> excess;
  MutexLock lock(mutex_);
  if (clean_.size() + used_.size() < options_.capacity) {
    clean_.push_back(std::move(sandbox));
  } else {
    excess = std::move(sandbox);
  }
}

size_t Pool::clean_count() const {
  MutexLock lock(mutex_);
  return clean_.size();
}

size_t Pool::used_count() const {
  MutexLock lock(mutex_);
  return used_.size();
}

}  // namespace libvmm::sandbox
