// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Programs that go on load and unload libraries, and are updated while they run: a dump must name
// what is loaded, not what was or what lies there now.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/waitgroup.h"
#include "os/symbols.h"
#include "support/child.h"
#include "support/until.h"

namespace hamgam {
namespace {

namespace fs = std::filesystem;
using detail::find_symbol;

constexpr const char* kFirst = "plugin_first";
constexpr const char* kOther = "plugin_other";

class Plugins : public testing::Test {
 protected:
  Plugins() {
    folder_ = fs::temp_directory_path() / ("hamgam-plugins-" + std::to_string(getpid()));
    fs::create_directory(folder_);
  }
  ~Plugins() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  // The build, as that file; whatever was there goes on to exist for those who have it.
  std::string put(const char* build, const std::string& name) const {
    fs::path const path = folder_ / (name + ".so");
    fs::remove(path);
    fs::copy_file(fs::path(HAMGAM_TEST_PLUGINS) / (std::string(build) + ".so"), path);
    return path.string();
  }

 private:
  fs::path folder_;
};

// A library, with a function of its own that it does not export.
class Loaded {
 public:
  explicit Loaded(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << dlerror();
    auto* const where = reinterpret_cast<const void* (*)()>(dlsym(handle_, "hamgam_test_plugin"));
    function_ = where();
  }
  ~Loaded() {
    if (handle_ != nullptr) {
      dlclose(handle_);
    }
  }
  Loaded(Loaded&& other) noexcept : handle_(other.handle_), function_(other.function_) {
    other.handle_ = nullptr;
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  Loaded& operator=(Loaded&&) = delete;

  // Empty: not known.
  [[nodiscard]] std::string name() const {
    const char* const name = find_symbol(function_).name;
    return name != nullptr ? name : "";
  }

 private:
  void* handle_;
  const void* function_ = nullptr;
};

bool names(const Loaded& library, const char* function) {
  return library.name().find(function) != std::string::npos;
}

TEST_F(Plugins, one_after_another_at_the_same_place) {
  for (const char* build : {kFirst, kOther, kFirst, kOther}) {
    Loaded const library(put(build, "plugin"));
    EXPECT_TRUE(names(library, build)) << library.name();
  }
}

std::size_t mappings_of(const std::string& part) {
  std::ifstream file("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(file, line);) {
    count += line.find(part) != std::string::npos ? 1 : 0;
  }
  return count;
}

// Each that came back was mapped once more, and stayed so.
TEST_F(Plugins, those_that_come_back_are_not_mapped_again) {
  std::size_t before = 0;
  for (int round = 0; round < 5; ++round) {
    for (const char* build : {kFirst, kOther}) {
      Loaded const library(put(build, std::string("back_") + build));
      EXPECT_TRUE(names(library, build)) << library.name();
    }
    std::size_t const now = mappings_of("/back_");
    EXPECT_TRUE(round == 0 || now == before) << before << " " << now;
    before = now;
  }
}

TEST_F(Plugins, one_whose_file_was_replaced) {
  std::string const path = put(kFirst, "plugin");
  Loaded const library(path);
  (void)put(kOther, "plugin");
  EXPECT_FALSE(names(library, kOther)) << library.name();
}

TEST_F(Plugins, many_are_not_mapped_again_and_again) {
  std::vector<Loaded> all;
  for (int i = 0; i < 80; ++i) {
    all.emplace_back(put(kFirst, "many" + std::to_string(i)));
  }
  std::size_t known = 0;
  std::size_t before = 0;
  for (int round = 0; round < 3; ++round) {
    known = 0;
    for (const Loaded& library : all) {
      known += names(library, kFirst) ? 1 : 0;
    }
    std::size_t const now = mappings_of("/many");
    EXPECT_TRUE(round == 0 || now == before) << before << " " << now;
    before = now;
  }
  EXPECT_GE(known, 50U);
}

// Who unloads a library holds a lock of the dynamic linker's while its destructors run. A thread
// that ends meanwhile must not ask for that.
TEST_F(Plugins, one_joins_a_thread_that_used_us_when_it_is_unloaded) {
  auto child = test::in_child([this] {
    void* const plugin = dlopen(put(kFirst, "joins").c_str(), RTLD_NOW | RTLD_LOCAL);
    auto* const start = reinterpret_cast<void (*)(void (*)())>(dlsym(plugin, "hamgam_test_start"));
    static std::atomic<bool> used{false};
    start([] {
      WaitGroup group;
      group.go([] { yield(); });
      group.wait();
      used = true;
    });
    test::until([] { return used.load(); });
    std::_Exit(dlclose(plugin));
  });
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

}  // namespace
}  // namespace hamgam
