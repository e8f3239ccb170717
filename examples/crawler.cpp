// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A web crawler: begins at one page, follows every link and fetches each page once. Four workers
// fetch; one goroutine, which alone knows what was seen and what is to do, hands the pages out, at
// most two of a host at a time. What cannot be fetched is told, and no reason to end. All goes
// through a proxy; here that is a server on the loopback, with a small web (crawler_web.h).
#include <hamgam/hamgam.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "crawler_web.h"

namespace {

namespace net = hamgam::net;
using namespace std::chrono_literals;
using hamgam::Context;

std::vector<std::string> links(std::string_view url, std::string_view html) {
  constexpr std::string_view kLink = "href=\"";
  std::vector<std::string> found;
  for (auto at = html.find(kLink); at != html.npos; at = html.find(kLink, at)) {
    at += kLink.size();
    const std::string link(html.substr(at, html.find('"', at) - at));
    if (link.starts_with('/')) {
      found.push_back(host_of(url) + link);
    } else if (link.starts_with(kHttp)) {
      found.push_back(link);
    }
  }
  return found;
}

struct Answer {
  std::string status, body;
};

Answer get(const Context& ctx, const std::string& proxy, const std::string& url) {
  const auto conn = net::TcpConn::dial(proxy, ctx.stop_token());
  if (!conn) {
    throw std::system_error(ctx.err());
  }
  write(*conn, "GET " + url + " HTTP/1.0\r\n\r\n");
  std::string text;
  for (std::string more = read(*conn, ctx); !more.empty(); more = read(*conn, ctx)) {
    text += more;
  }
  const auto header = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.") || header == text.npos) {
    throw std::runtime_error("that is no HTTP");
  }
  return {.status = text.substr(9, text.find('\r') - 9), .body = text.substr(header + 4)};
}

struct Report {
  std::set<std::string> pages;
  std::map<std::string, std::string> failures;
  std::size_t left = 0;  // how many were known, but time was over
};

class Crawler {
 public:
  static constexpr int kWorkers = 4;
  static constexpr int kPerHost = 2;

  explicit Crawler(std::string proxy) : proxy_(std::move(proxy)) {}

  // Everything that can be reached from `start` until ctx ends.
  Report crawl(const Context& ctx, const std::string& start) const {
    const auto urls = hamgam::make_chan<std::string>();
    const auto pages = hamgam::make_chan<Page>();
    hamgam::WaitGroup workers;
    for (int i = 0; i < kWorkers; ++i) {
      workers.go([&] {
        for (const std::string& url : urls) {
          pages.send(fetch(ctx, url));
        }
      });
    }
    Report report;
    std::deque<std::string> waiting{start};
    std::set<std::string> seen{start};
    std::map<std::string, int> busy;  // by host
    int at_work = 0;
    while (at_work > 0 || (!waiting.empty() && !ctx.err())) {
      const auto next = std::ranges::find_if(
          waiting, [&](const std::string& url) { return busy[host_of(url)] < kPerHost; });
      const bool none = next == waiting.end() || ctx.err();
      hamgam::select(
          // Nothing that may be handed out: the nil channel is never ready.
          on_send(none ? hamgam::Chan<std::string>() : urls, none ? std::string() : *next,
                  [&] {
                    ++at_work;
                    ++busy[host_of(*next)];
                    waiting.erase(next);
                  }),
          on_recv(pages, [&](std::optional<Page> got) {
            const Page& page = got.value();  // nobody closes the channel
            --at_work;
            --busy[host_of(page.url)];
            if (!page.failure.empty()) {
              report.failures.emplace(page.url, page.failure);
              return;
            }
            report.pages.insert(page.url);
            for (const std::string& link : page.links) {
              if (seen.insert(link).second) {
                waiting.push_back(link);
              }
            }
          }));
    }
    urls.close();
    workers.wait();
    report.left = waiting.size();
    return report;
  }

 private:
  struct Page {
    std::string url;
    std::vector<std::string> links{};
    std::string failure{};
  };

  // Tries again, later and later, while the server is busy; ten seconds at most.
  [[nodiscard]] Page fetch(const Context& all, const std::string& url) const {
    const auto [ctx, cancel] = hamgam::with_timeout(all, 10s);
    const hamgam::CancelGuard guard(cancel);
    try {
      for (auto pause = 1ms;; pause *= 2) {
        const Answer answer = get(ctx, proxy_, url);
        if (answer.status.starts_with("200")) {
          return {.url = url, .links = links(url, answer.body)};
        }
        if (!answer.status.starts_with("503") || !hamgam::sleep(pause, ctx.stop_token())) {
          return {.url = url, .failure = answer.status};
        }
      }
    } catch (const std::exception& e) {
      return {.url = url, .failure = e.what()};
    }
  }

  std::string proxy_;
};

void print(const Report& report) {
  for (const std::string& page : report.pages) {
    std::cout << page << '\n';
  }
  for (const auto& [url, failure] : report.failures) {
    std::cout << url << ": " << failure << '\n';
  }
  std::cout << report.pages.size() << " pages, " << report.left << " left\n";
}

}  // namespace

int main() {
  return hamgam::run([] {
    Web web;
    hamgam::WaitGroup serving;
    serving.go([&] { web.serve(); });
    const Crawler crawler(web.address());
    print(crawler.crawl(Context::background(), "http://tea.test/"));
    std::cout << "at most two of a host at a time: "
              << (web.most_at_once() <= Crawler::kPerHost ? "yes" : "no") << '\n';

    const auto [ctx, cancel] = hamgam::with_timeout(Context::background(), 20ms);
    const hamgam::CancelGuard guard(cancel);
    print(crawler.crawl(ctx, "http://tea.test/tarpit"));
    web.close();
    serving.wait();
  });
}
