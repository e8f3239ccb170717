// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "hamgam/net.h"
#include "net/number.h"
#include "net/resolve.h"

namespace hamgam::inline HAMGAM_ABI::net {

using hamgam::detail::TsanIgnore;

namespace {

class Category : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "hamgam.net"; }
  [[nodiscard]] std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::closed:
        return "use of closed network connection";
      case Errc::deadline:
        return "i/o timeout";
      case Errc::no_suitable_address:
        return "no suitable address";
      case Errc::host_not_found:
        return "no such host";
      case Errc::host_not_found_try_again:
        return "temporary failure in name resolution";
      case Errc::lookup_failed:
        return "failure in name resolution";
    }
    return "unknown";
  }
  [[nodiscard]] std::error_condition default_error_condition(int code) const noexcept override {
    switch (static_cast<Errc>(code)) {
      case Errc::closed:
        return std::errc::operation_canceled;
      case Errc::deadline:
        return std::errc::timed_out;
      case Errc::host_not_found_try_again:
        return std::errc::resource_unavailable_try_again;
      default:
        return {code, *this};
    }
  }
};

[[noreturn]] void fail(Errc e, std::string_view what) {
  throw Error(make_error_code(e), "address " + std::string(what));
}

// A number, or the name of a service.
bool is_port(const std::string& port) noexcept {
  constexpr std::string_view kDigits = "0123456789";
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  unsigned number = 0;
  if (port.find_first_not_of(kDigits) != std::string::npos) {
    return (kDigits.find(port[0]) != std::string_view::npos ||
            kLetters.find(port[0]) != std::string_view::npos) &&
           port.find_first_of(kLetters) != std::string::npos;
  }
  return port.empty() ||
         (std::from_chars(port.data(), port.data() + port.size(), number).ec == std::errc() &&
          number <= 65535);
}

// What getaddrinfo says.
std::error_code code_of(int error, int system_error) noexcept {
  if (system_error == EMFILE || system_error == ENFILE) {  // "no such name", as it could not ask
    return {system_error, std::generic_category()};
  }
  switch (error) {
    case EAI_SYSTEM:
      return {system_error, std::generic_category()};
    case EAI_AGAIN:
      return make_error_code(Errc::host_not_found_try_again);
    case EAI_SERVICE:
      return make_error_code(Errc::no_suitable_address);
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return make_error_code(Errc::host_not_found);
    default:
      return make_error_code(Errc::lookup_failed);
  }
}

// The C library takes the name of a zone only for addresses of a link, its number for all.
std::string with_number_of_zone(const std::string& host) {
  std::size_t const percent = host.find('%');
  if (percent != std::string::npos) {
    if (unsigned const index = if_nametoindex(host.c_str() + percent + 1); index != 0) {
      return host.substr(0, percent + 1) + std::to_string(index);
    }
  }
  return host;
}

}  // namespace

HostPort split(std::string_view text) {
  std::size_t const colon = text.rfind(':');
  if (colon == std::string_view::npos || text.find('\0') != std::string_view::npos) {
    fail(Errc::no_suitable_address, text);
  }
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    fail(Errc::no_suitable_address, text);
  }
  return {std::string(host), std::string(text.substr(colon + 1))};
}

std::error_code look_up(const HostPort& parts, Transport transport, int flags,
                        std::vector<Address>& all) {
  // What the C library takes for an address or a port and nobody means: 127.1, 010.0.0.1, *; 65616,
  // +80, and * again.
  in_addr address{};
  if (parts.host == "*" || (inet_aton(parts.host.c_str(), &address) != 0 &&
                            inet_pton(AF_INET, parts.host.c_str(), &address) != 1)) {
    return make_error_code(Errc::host_not_found);
  }
  if (!is_port(parts.port)) {
    return make_error_code(Errc::no_suitable_address);
  }
  std::string const host = with_number_of_zone(parts.host);
  addrinfo hints{};
  hints.ai_socktype = transport == Transport::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  TsanIgnore const unseen;  // what the C library opens, closes and keeps
  errno = 0;
  int const error =
      getaddrinfo(host.empty() ? nullptr : host.c_str(), parts.port.c_str(), &hints, &found);
  int const system_error = errno;
  if (error == EAI_MEMORY) {
    throw std::bad_alloc();
  }
  if (error != 0) {
    return code_of(error, system_error);
  }
  struct Free {
    addrinfo* list;
    ~Free() { freeaddrinfo(list); }
  } const guard{found};
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    sockaddr_storage raw{};
    std::memcpy(&raw, one->ai_addr, std::min<std::size_t>(one->ai_addrlen, sizeof raw));
    all.push_back(unmapped(raw, one->ai_addrlen));
  }
  return {};
}

const std::error_category& category() noexcept {
  static const Category the_category;
  return the_category;
}

Address Address::from_raw(const void* raw, std::size_t size) noexcept {
  static_assert(kMost == sizeof(sockaddr_un));
  Address a;
  if (size > 0 && size <= kMost) {
    std::memcpy(a.bytes_.data(), raw, size);
    a.size_ = static_cast<std::uint8_t>(size);
  }
  return a;
}

Address Address::parse(std::string_view text) {
  if (!text.empty() && (text[0] == '/' || text[0] == '@')) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    // A null character would be the end of a path: of another one.
    if (text.size() >= sizeof name.sun_path ||
        (text[0] == '/' && text.find('\0') != std::string_view::npos)) {
      fail(Errc::no_suitable_address, text);
    }
    std::memcpy(name.sun_path, text.data(), text.size());
    bool const abstract = text[0] == '@';
    if (abstract) {
      name.sun_path[0] = '\0';
    }
    return from_raw(&name, offsetof(sockaddr_un, sun_path) + text.size() + (abstract ? 0 : 1));
  }
  HostPort const parts = split(text);
  unsigned port = 0;
  const char* const end = parts.port.data() + parts.port.size();
  auto const [rest, error] = std::from_chars(parts.port.data(), end, port);
  if (parts.host.empty() || error != std::errc() || rest != end || port > 65535) {
    fail(Errc::no_suitable_address, text);
  }
  std::vector<Address> all;
  if (look_up(parts, Transport::kTcp, AI_NUMERICHOST | AI_NUMERICSERV, all)) {
    fail(Errc::no_suitable_address, text);
  }
  return all.front();
}

std::uint16_t Address::port() const noexcept {
  if (is_ipv4()) {
    sockaddr_in in{};
    std::memcpy(&in, bytes_.data(), sizeof in);
    return ntohs(in.sin_port);
  }
  if (is_ipv6()) {
    sockaddr_in6 in{};
    std::memcpy(&in, bytes_.data(), sizeof in);
    return ntohs(in.sin6_port);
  }
  return 0;
}

namespace {

sa_family_t family_of(const Address& a) noexcept {
  sa_family_t family = AF_UNSPEC;
  if (a.raw_size() >= sizeof family) {
    std::memcpy(&family, a.raw(), sizeof family);
  }
  return family;
}

}  // namespace

bool Address::is_ipv4() const noexcept { return family_of(*this) == AF_INET; }
bool Address::is_ipv6() const noexcept { return family_of(*this) == AF_INET6; }
bool Address::is_unix() const noexcept { return family_of(*this) == AF_UNIX; }

std::string Address::host() const {
  if (is_unix()) {
    constexpr std::size_t kPath = offsetof(sockaddr_un, sun_path);
    std::string path(reinterpret_cast<const char*>(bytes_.data()) + kPath, size_ - kPath);
    if (!path.empty() && path[0] == '\0') {
      path[0] = '@';
    } else {
      path = path.c_str();
    }
    return path;
  }
  if (is_ipv6()) {
    sockaddr_in6 in{};
    std::memcpy(&in, bytes_.data(), sizeof in);
    char text[INET6_ADDRSTRLEN] = "";
    // One socket for both families shows IPv4's addresses in this form.
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
      inet_ntop(AF_INET, in.sin6_addr.s6_addr + 12, text, sizeof text);
      return text;
    }
    inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
    std::string host = text;
    char zone[IF_NAMESIZE];
    if (in.sin6_scope_id != 0) {
      host += '%';
      host += if_indextoname(in.sin6_scope_id, zone) != nullptr ? zone
                                                                : std::to_string(in.sin6_scope_id);
    }
    return host;
  }
  if (is_ipv4()) {
    sockaddr_in in{};
    std::memcpy(&in, bytes_.data(), sizeof in);
    char text[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    return text;
  }
  return {};
}

std::string Address::to_string() const {
  std::string text = host();
  if (is_unix() || raw_size() == 0) {
    return text;
  }
  if (text.find(':') != std::string::npos) {
    text = "[" + text + "]";
  }
  return text + ":" + std::to_string(port());
}

}  // namespace hamgam::inline HAMGAM_ABI::net
