// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_SHARE_TEST_DIRECTORY_H_
#define LIBVMM_DEVICES_VIRTIO_FS_SHARE_TEST_DIRECTORY_H_

#include <string>

namespace libvmm::testing {

// A directory to be shared, in a temporary one, and beside it files that a guest
// must never see or change.
//
// Thread-safety: thread-compatible.
// Ownership: removes all of it at its end.
// Errors: aborts: a test without its files shows nothing.
class ShareTestDirectory {
 public:
  ShareTestDirectory();
  ShareTestDirectory(const ShareTestDirectory&) = delete;
  ShareTestDirectory& operator=(const ShareTestDirectory&) = delete;
  ~ShareTestDirectory();

  // The directory itself, or what is called `name` below it.
  [[nodiscard]] std::string Path(const std::string& name = "") const;
  // The same beside it. There is a file "secret" and a directory "vault" with a
  // file "gold".
  [[nodiscard]] std::string Outside(const std::string& name = "") const;

  void WriteFile(const std::string& name, const std::string& text) const;
  void MakeDirectory(const std::string& name) const;
  void MakeLink(const std::string& name, const std::string& text) const;
  void Remove(const std::string& name) const;
  void Move(const std::string& from, const std::string& to) const;
  [[nodiscard]] bool Exists(const std::string& name) const;
  [[nodiscard]] std::string ReadFile(const std::string& name) const;

  // All that is beside the share: names, modes, owners, sizes, times of change
  // and contents.
  [[nodiscard]] std::string OutsideState() const;
  // Empties the share.
  void Clear() const;

 private:
  std::string base_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_DEVICES_VIRTIO_FS_SHARE_TEST_DIRECTORY_H_
