// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_IMAGE_H_
#define LIBVMM_SANDBOX_IMAGE_H_

#include <memory>
#include <utility>

namespace libvmm::sandbox {

namespace internal {
struct ImageContents;
}  // namespace internal

// A frozen sandbox: memory, registers, files and process state at the moment of
// Sandbox::Freeze, from which clones are made and to which they are reset.
//
// Its memory is a memfd sealed against writing, which all clones map copy on
// write. Page tables in it are clean pages like all others, shared until a
// clone changes them.
//
// Thread-safety: immutable; clones may be made on any thread.
// Ownership: a handle that shares the contents with its copies and its clones.
class Image {
 public:
  explicit Image(std::shared_ptr<const internal::ImageContents> contents)
      : contents_(std::move(contents)) {}

 private:
  friend class Sandbox;

  std::shared_ptr<const internal::ImageContents> contents_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_IMAGE_H_
