// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A web crawler: begins at one page, follows every link within the site, fetches each page once and
// at most four at a time, and gives up when its time is over. The web is a fake one in memory, with
// a broken link, a page that is busy at first, one that never answers, and circles.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using hamgam::Context;

struct Page {
  std::vector<std::string> links;
};

struct NotFound : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct Busy : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Stands for an HTTP client. Everything that may take time takes a Context.
class Web {
 public:
  Page fetch(const Context& ctx, const std::string& path) {
    pause(ctx, path == "/tarpit" ? std::chrono::hours(1) : 200us);
    if (path == "/news" && news_asked_.add(1) == 1) {
      throw Busy(path);
    }
    const auto found = kPages.find(path);
    if (found == kPages.end()) {
      throw NotFound(path);
    }
    return found->second;
  }

 private:
  template <class Duration>
  static void pause(const Context& ctx, Duration d) {
    if (!hamgam::sleep(d, ctx.stop_token())) {
      throw std::system_error(ctx.err());
    }
  }

  static inline const std::map<std::string, Page> kPages = {
      {"/", {{"/about", "/news", "/shop", "https://elsewhere.org/"}}},
      {"/about", {{"/", "/team"}}},
      {"/team", {{"/about", "/gone"}}},
      {"/news", {{"/", "/news/1", "/news/2"}}},
      {"/news/1", {{"/news", "/news/2"}}},
      {"/news/2", {{"/news", "/news/1"}}},
      {"/shop", {{"/", "/shop/tea", "/shop/dates"}}},
      {"/shop/tea", {{"/shop"}}},
      {"/shop/dates", {{"/shop", "/shop/tea", "/gone"}}},
  };
  hamgam::Atomic<int> news_asked_;
};

struct Report {
  std::set<std::string> pages;
  std::set<std::string> broken;
  bool complete = true;
};

class Crawler {
 public:
  explicit Crawler(Web& web) : web_(web) {}

  // Everything that can be reached from `start` until ctx ends.
  Report crawl(const Context& ctx, const std::string& start) {
    hamgam::ErrGroup group(ctx);
    visit(group, start);
    try {
      group.wait();  // visits start visits: it waits for those, too
    } catch (const std::system_error&) {
      if (!ctx.err()) {
        throw;
      }
      report_.lock()->complete = false;  // the time is over; what was found counts
    }
    return *report_.lock();
  }

 private:
  // Starts a goroutine for the page, unless somebody has seen it before.
  void visit(hamgam::ErrGroup& group, const std::string& path) {
    if (!path.starts_with('/') || !seen_.lock()->insert(path).second) {
      return;
    }
    group.go([this, &group, path] {
      try {
        const Page page = fetch(group.context(), path);
        report_.lock()->pages.insert(path);
        for (const std::string& link : page.links) {
          visit(group, link);
        }
      } catch (const NotFound&) {
        report_.lock()->broken.insert(path);  // no reason to end the crawl
      }
    });
  }

  // Waits for its turn; tries again if the server is busy.
  Page fetch(const Context& ctx, const std::string& path) {
    for (auto pause = 1ms;; pause *= 2) {
      try {
        if (!turns_.acquire(ctx.stop_token())) {
          throw std::system_error(ctx.err());
        }
        const hamgam::SemaphoreGuard turn(turns_, std::adopt_lock);
        return web_.fetch(ctx, path);
      } catch (const Busy&) {
        if (!hamgam::sleep(pause, ctx.stop_token())) {  // the turn is another's meanwhile
          throw std::system_error(ctx.err());
        }
      }
    }
  }

  Web& web_;
  hamgam::Semaphore turns_{4};
  hamgam::Guarded<std::set<std::string>> seen_;
  hamgam::Guarded<Report> report_;
};

void print(std::string_view what, const std::set<std::string>& paths) {
  std::cout << what << ':';
  for (const std::string& path : paths) {
    std::cout << ' ' << path;
  }
  std::cout << '\n';
}

}  // namespace

int main() {
  return hamgam::run([] {
    Web web;
    const Report all = Crawler(web).crawl(Context::background(), "/");
    print("pages", all.pages);
    print("broken", all.broken);

    auto [ctx, cancel] = hamgam::with_timeout(Context::background(), 20ms);
    const hamgam::CancelGuard guard(cancel);
    const Report some = Crawler(web).crawl(ctx, "/tarpit");
    std::cout << "the tarpit: " << (some.complete ? "all of it" : "given up") << '\n';
  });
}
