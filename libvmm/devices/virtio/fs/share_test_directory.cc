// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/share_test_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <system_error>

namespace libvmm::testing {
namespace {

void Must(bool condition, const std::string& what) {
  if (condition) return;
  std::perror(what.c_str());
  std::abort();
}

std::string TextOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.flush();
  Must(file.good(), path);
}

}  // namespace

ShareTestDirectory::ShareTestDirectory() {
  const char* const place = std::getenv("TEST_TMPDIR");
  base_ = std::string(place != nullptr ? place : "/tmp") + "/share.XXXXXX";
  Must(::mkdtemp(base_.data()) != nullptr, base_);
  Must(::mkdir(Path().c_str(), 0755) == 0, "mkdir");
  Write(Outside("secret"), "secret text");
  Must(::mkdir(Outside("vault").c_str(), 0755) == 0, "mkdir");
  Write(Outside("vault/gold"), "gold text");
}

ShareTestDirectory::~ShareTestDirectory() {
  std::error_code error;
  std::filesystem::remove_all(base_, error);
}

std::string ShareTestDirectory::Path(const std::string& name) const {
  return base_ + "/share" + (name.empty() ? "" : "/" + name);
}

std::string ShareTestDirectory::Outside(const std::string& name) const {
  return base_ + (name.empty() ? "" : "/" + name);
}

void ShareTestDirectory::WriteFile(const std::string& name,
                                   const std::string& text) const {
  Write(Path(name), text);
}

void ShareTestDirectory::MakeDirectory(const std::string& name) const {
  Must(::mkdir(Path(name).c_str(), 0755) == 0, name);
}

void ShareTestDirectory::MakeLink(const std::string& name,
                                  const std::string& text) const {
  Must(::symlink(text.c_str(), Path(name).c_str()) == 0, name);
}

void ShareTestDirectory::Remove(const std::string& name) const {
  std::error_code error;
  std::filesystem::remove_all(Path(name), error);
  Must(!error, name);
}

void ShareTestDirectory::Move(const std::string& from,
                              const std::string& to) const {
  Must(::rename(Path(from).c_str(), Path(to).c_str()) == 0, from);
}

bool ShareTestDirectory::Exists(const std::string& name) const {
  struct stat stat;
  return ::lstat(Path(name).c_str(), &stat) == 0;
}

std::string ShareTestDirectory::ReadFile(const std::string& name) const {
  return TextOf(Path(name));
}

std::string ShareTestDirectory::OutsideState() const {
  std::map<std::string, std::string> lines;
  std::filesystem::recursive_directory_iterator entry(base_);
  for (; entry != std::filesystem::recursive_directory_iterator(); ++entry) {
    const std::string path = entry->path().string();
    if (path == Path()) {
      entry.disable_recursion_pending();
      lines[path] = "the share";
      continue;
    }
    struct stat stat;
    Must(::lstat(path.c_str(), &stat) == 0, path);
    std::ostringstream line;
    line << std::oct << stat.st_mode << std::dec << ' ' << stat.st_uid << ' '
         << stat.st_gid << ' ' << stat.st_nlink << ' ' << stat.st_size << ' '
         << stat.st_mtim.tv_sec << '.' << stat.st_mtim.tv_nsec << ' '
         << stat.st_ctim.tv_sec << '.' << stat.st_ctim.tv_nsec << ' '
         << (S_ISREG(stat.st_mode) ? TextOf(path) : "");
    lines[path] = line.str();
  }
  std::string all;
  for (const auto& [path, line] : lines) all += path + " " + line + "\n";
  return all;
}

void ShareTestDirectory::Clear() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(Path())) {
    std::filesystem::remove_all(entry.path(), error);
  }
}

}  // namespace libvmm::testing
