// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/descriptor_table.h"

#include <algorithm>

namespace libvmm::sandbox::internal {

int DescriptorTable::LowestFree(int lowest, uint32_t limit) const {
  int64_t fd = std::max(lowest, lowest_free_);
  while (fd < limit && fd < static_cast<int64_t>(slots_.size()) &&
         slots_[fd].file >= 0) {
    ++fd;
  }
  return fd < limit ? static_cast<int>(fd) : -1;
}

void DescriptorTable::Occupy(int fd, int32_t file, bool close_on_exec) {
  if (slots_.size() <= static_cast<size_t>(fd)) slots_.resize(fd + 1);
  slots_[fd] = {file, close_on_exec};
  ++files_[file].references;
  ++size_;
  if (fd == lowest_free_) ++lowest_free_;
}

void DescriptorTable::Add(int fd, const OpenFile& file, bool close_on_exec) {
  int32_t index;
  if (free_files_.empty()) {
    index = static_cast<int32_t>(files_.size());
    files_.push_back(file);
  } else {
    index = free_files_.back();
    free_files_.pop_back();
    files_[index] = file;
  }
  files_[index].references = 0;
  Occupy(fd, index, close_on_exec);
}

void DescriptorTable::Duplicate(int from, int to, bool close_on_exec) {
  Occupy(to, slots_[from].file, close_on_exec);
}

OpenFile DescriptorTable::Remove(int fd) {
  const int32_t index = slots_[fd].file;
  slots_[fd] = {};
  lowest_free_ = std::min(lowest_free_, fd);
  --size_;
  OpenFile& file = files_[index];
  --file.references;
  const OpenFile removed = file;
  if (file.references == 0) {
    file = {};
    free_files_.push_back(index);
  }
  return removed;
}

bool DescriptorTable::Refers(uint64_t inode) const {
  return std::any_of(files_.begin(), files_.end(), [&](const OpenFile& file) {
    return file.references != 0 && file.inode == inode;
  });
}

}  // namespace libvmm::sandbox::internal
