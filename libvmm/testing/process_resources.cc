// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/process_resources.h"

#include <dirent.h>
#include <malloc.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "libvmm/testing/sanitizers.h"

namespace libvmm::testing {
namespace {

std::map<int, std::string> Descriptors() {
  std::map<int, std::string> descriptors;
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return descriptors;
  while (const dirent* const entry = ::readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    const int fd = std::atoi(entry->d_name);
    if (fd == ::dirfd(folder)) continue;
    char target[256];
    const ssize_t size =
        ::readlinkat(::dirfd(folder), entry->d_name, target, sizeof target);
    descriptors[fd] = std::string(target, size > 0 ? size_t(size) : 0);
  }
  ::closedir(folder);
  return descriptors;
}

bool IsComparable(const char* name) {
  if (std::strncmp(name, "[heap]", 6) == 0) return false;
  if (std::strncmp(name, "[stack]", 7) == 0) return false;
  return !kSanitized || name[0] == '/' ||
         std::strncmp(name, "anon_inode", 10) == 0;
}

std::map<std::string, uint64_t> Mappings() {
  std::map<std::string, uint64_t> mappings;
  std::FILE* const file = std::fopen("/proc/self/maps", "re");
  if (file == nullptr) return mappings;
  char line[4352];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    uint64_t start = 0;
    uint64_t end = 0;
    char protection[5] = "";
    int name = 0;
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %*s %n", &start,
                    &end, protection, &name) < 3) {
      continue;
    }
    line[std::strcspn(line, "\n")] = '\0';
    if (!IsComparable(line + name)) continue;
    mappings[absl::StrCat(protection, " ", line + name)] += end - start;
  }
  std::fclose(file);
  return mappings;
}

}  // namespace

ProcessResources ProcessResources::Now() {
  return {.descriptors = Descriptors(), .mappings = Mappings()};
}

std::string ProcessResources::Since(const ProcessResources& before) const {
  std::string lines;
  for (const auto& [fd, target] : descriptors) {
    const auto old = before.descriptors.find(fd);
    if (old == before.descriptors.end() || old->second != target) {
      absl::StrAppend(&lines, "new descriptor ", fd, ": ", target, "\n");
    }
  }
  for (const auto& [fd, target] : before.descriptors) {
    if (!descriptors.contains(fd)) {
      absl::StrAppend(&lines, "lost descriptor ", fd, ": ", target, "\n");
    }
  }
  for (const auto& [name, bytes] : mappings) {
    const auto old = before.mappings.find(name);
    const uint64_t had = old == before.mappings.end() ? 0 : old->second;
    if (bytes != had) {
      absl::StrAppend(&lines, "mapped ", name, ": ", bytes, " bytes, were ",
                      had, "\n");
    }
  }
  for (const auto& [name, bytes] : before.mappings) {
    if (!mappings.contains(name)) {
      absl::StrAppend(&lines, "unmapped ", name, ": ", bytes, " bytes\n");
    }
  }
  return lines;
}

void KeepHeapInBrk() {
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_ARENA_MAX, 1);
}

}  // namespace libvmm::testing
