// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/process_resources.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "libvmm/testing/sanitizers.h"

namespace libvmm::testing {
namespace {

// What tells one open file from another of its kind, by the number of its
// descriptor: device, inode and, as all eventfds share an inode, their id. The
// flags show that close-on-exec is as it was.
std::string Identity(int folder, const char* number) {
  struct stat status = {};
  std::string identity;
  if (::fstatat(folder, number, &status, 0) == 0) {
    absl::StrAppend(&identity, " ", status.st_dev, ":", status.st_ino);
  }
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fdinfo/%.32s", number);
  std::FILE* const file = std::fopen(path, "re");
  if (file == nullptr) return identity;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    line[std::strcspn(line, "\n")] = '\0';
    if (std::strncmp(line, "flags:", 6) == 0 ||
        std::strncmp(line, "eventfd-id:", 11) == 0) {
      absl::StrAppend(&identity, " ", line);
    }
  }
  std::fclose(file);
  return identity;
}

std::map<int, ProcessResources::File> Descriptors() {
  std::map<int, ProcessResources::File> descriptors;
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return descriptors;
  while (const dirent* const entry = ::readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    const int fd = std::atoi(entry->d_name);
    if (fd == ::dirfd(folder)) continue;
    char target[256];
    const ssize_t size =
        ::readlinkat(::dirfd(folder), entry->d_name, target, sizeof target);
    descriptors[fd] = {.name = std::string(target, size > 0 ? size_t(size) : 0),
                       .identity = Identity(::dirfd(folder), entry->d_name)};
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

using Ranges = ProcessResources::Ranges;

std::map<std::string, Ranges> Mappings() {
  std::map<std::string, Ranges> mappings;
  std::FILE* const file = std::fopen("/proc/self/maps", "re");
  if (file == nullptr) return mappings;
  char line[4352];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    uint64_t start = 0;
    uint64_t end = 0;
    char protection[5] = "";
    char device[16] = "";
    uint64_t inode = 0;
    int name = 0;
    if (std::sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*s %15s %" SCNu64 " %n",
                    &start, &end, protection, device, &inode, &name) < 5) {
      continue;
    }
    line[std::strcspn(line, "\n")] = '\0';
    if (!IsComparable(line + name)) continue;
    Ranges& ranges = mappings[absl::StrCat(protection, " ", device, " ", inode,
                                           " ", line + name)];
    if (!ranges.empty() && ranges.back().second == start) {
      ranges.back().second = end;
    } else {
      ranges.emplace_back(start, end);
    }
  }
  std::fclose(file);
  return mappings;
}

std::string ToString(const Ranges& ranges) {
  std::string text;
  for (const auto& [start, end] : ranges) {
    absl::StrAppend(&text, " ", absl::Hex(start), "-", absl::Hex(end));
  }
  return text;
}

}  // namespace

ProcessResources ProcessResources::Now() {
  return {.descriptors = Descriptors(), .mappings = Mappings()};
}

std::string ProcessResources::Since(const ProcessResources& before) const {
  std::string lines;
  for (const auto& [fd, file] : descriptors) {
    const auto old = before.descriptors.find(fd);
    if (old == before.descriptors.end()) {
      absl::StrAppend(&lines, "new descriptor ", fd, ": ", file.name, "\n");
    } else if (old->second != file) {
      absl::StrAppend(&lines, "descriptor ", fd, " is another: ", file.name,
                      file.identity, ", was ", old->second.name,
                      old->second.identity, "\n");
    }
  }
  for (const auto& [fd, file] : before.descriptors) {
    if (!descriptors.contains(fd)) {
      absl::StrAppend(&lines, "lost descriptor ", fd, ": ", file.name, "\n");
    }
  }
  for (const auto& [name, ranges] : mappings) {
    const auto old = before.mappings.find(name);
    if (old == before.mappings.end()) {
      absl::StrAppend(&lines, "mapped ", name, " at", ToString(ranges), "\n");
    } else if (old->second != ranges) {
      absl::StrAppend(&lines, "mapped ", name, " at", ToString(ranges),
                      ", was at", ToString(old->second), "\n");
    }
  }
  for (const auto& [name, ranges] : before.mappings) {
    if (!mappings.contains(name)) {
      absl::StrAppend(&lines, "unmapped ", name, " at", ToString(ranges), "\n");
    }
  }
  return lines;
}

void KeepHeapInBrk() {
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_ARENA_MAX, 1);
}

}  // namespace libvmm::testing
