// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The system's resolver, as a test wants it: the linker has getaddrinfo call the function below
// (-Wl,--wrap=getaddrinfo). A question about a number goes to the real one; a name is held until
// the test lets it go, and the n-th answer is 10.0.0.n, but for "second-is-here": an address that
// is no machine's, and this one's.

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

extern "C" int __real_getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                                  addrinfo** found);

namespace hamgam::test {

class Resolver {
 public:
  int answer(const std::string& host, int kind, addrinfo** found) {
    int number = 0;
    {
      std::unique_lock lock(mutex_);
      asked_.push_back(host);
      kinds_.push_back(kind);
      number = static_cast<int>(asked_.size());
      ++inside_;
      most_inside_ = inside_ > most_inside_ ? inside_ : most_inside_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return let_go_ > 0; });
      let_go_ -= let_go_ == kAll ? 0 : 1;
      --inside_;
    }
    struct Failure {
      const char* host;
      int error;
    };
    for (auto const& [begin, error] :
         {Failure{"none", EAI_NONAME}, Failure{"no-data", EAI_NODATA},
          Failure{"no-memory", EAI_MEMORY}, Failure{"again", EAI_AGAIN},
          Failure{"broken", EAI_FAIL}, Failure{"system", EAI_SYSTEM},
          Failure{"no-descriptor", EAI_NONAME}}) {
      if (host.rfind(begin, 0) == 0) {
        errno = error == EAI_SYSTEM || host.rfind("no-descriptor", 0) == 0 ? EMFILE : ENOENT;
        return error;
      }
    }
    addrinfo hints{};
    hints.ai_socktype = kind;
    hints.ai_flags = AI_NUMERICHOST;
    std::string const address =
        "10.0." + std::to_string(number / 256 % 256) + "." + std::to_string(number % 256);
    bool const here = host.rfind("second-is-here", 0) == 0;
    int const error =
        __real_getaddrinfo(here ? "192.0.2.1" : address.c_str(), here ? "0" : "80", &hints, found);
    return error == 0 && here ? __real_getaddrinfo("127.0.0.1", "0", &hints, &(*found)->ai_next)
                              : error;
  }

  static constexpr int kAll = 1'000'000;
  void let_go(int n = kAll) {
    std::lock_guard const lock(mutex_);
    let_go_ = n;
    changed_.notify_all();
  }
  void reset() {
    std::lock_guard const lock(mutex_);
    asked_.clear();
    kinds_.clear();
    let_go_ = most_inside_ = 0;
  }
  [[nodiscard]] std::vector<std::string> asked() {
    std::lock_guard const lock(mutex_);
    return asked_;
  }
  [[nodiscard]] std::vector<int> kinds() {
    std::lock_guard const lock(mutex_);
    return kinds_;
  }
  [[nodiscard]] int inside() {
    std::lock_guard const lock(mutex_);
    return inside_;
  }
  [[nodiscard]] int most_inside() {
    std::lock_guard const lock(mutex_);
    return most_inside_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> asked_;
  std::vector<int> kinds_;
  int inside_ = 0;
  int most_inside_ = 0;
  int let_go_ = 0;
};

inline Resolver& resolver() {
  static Resolver the_resolver;
  return the_resolver;
}

}  // namespace hamgam::test

extern "C" inline __attribute__((used)) int __wrap_getaddrinfo(const char* host,
                                                               const char* service,
                                                               const addrinfo* hints,
                                                               addrinfo** found) {
  if (host == nullptr || (hints->ai_flags & AI_NUMERICHOST) != 0) {
    return __real_getaddrinfo(host, service, hints, found);
  }
  return hamgam::test::resolver().answer(host, hints->ai_socktype, found);
}
