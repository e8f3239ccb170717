// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What pages are made of: what was asked, and how text becomes an answer.

#include <string>
#include <string_view>
#include <vector>

#include "observe/page.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct PageRequest {
  std::string_view method;  // empty: it is no request
  std::string_view path;
  std::string_view query;
  std::string_view head;

  explicit PageRequest(std::string_view text);

  // Of the head; empty: it is not there.
  [[nodiscard]] std::string_view field(std::string_view name) const noexcept;
  [[nodiscard]] std::string_view parameter(std::string_view name,
                                           std::string_view otherwise) const noexcept;
  [[nodiscard]] bool wants_html() const noexcept {
    return field("Accept").find("text/html") != std::string_view::npos;
  }
};

[[nodiscard]] bool equal_fold(std::string_view a, std::string_view b) noexcept;

// "80", "1.5" or "90s", "2m", "500ms"; seconds without a unit. False: it is none.
[[nodiscard]] bool read_time(std::string_view text, Nanos& time) noexcept;

// A page as text: its paragraphs.
struct Page {
  std::string title;
  std::vector<std::string> paragraphs;
};

// Within HTML.
[[nodiscard]] std::string escaped(std::string_view text);

// As text or, if that was asked for, as HTML, with the links above the text.
[[nodiscard]] PageReply reply_of(const PageRequest& request, const Page& page,
                                 const std::string& links = {});
[[nodiscard]] PageReply refusal(const char* status, const std::string& why);

// The pages that have files of their own.
PageReply goroutines_page(const PageRequest& request);
PageReply locks_page(const PageRequest& request);
PageReply scheduler_page(const PageRequest& request);
PageReply stacks_page(const PageRequest& request);

}  // namespace hamgam::inline HAMGAM_ABI::detail
