// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// How connections come to be.

#include <string_view>
#include <vector>

#include "net/descriptor.h"
#include "net/number.h"

namespace hamgam::inline HAMGAM_ABI::net {

void set_up_keep_alive(int fd, const KeepAlive& k) noexcept;

// To the first of the addresses that is to be had. Null: see `error`, or the limit gave up.
detail::NetDescriptor* dial_addresses(const std::vector<Address>& addresses,
                                      const DialOptions& options, detail::NetLimit& limit,
                                      std::error_code& error);
detail::NetDescriptor* dial_tcp(std::string_view host_port, const DialOptions& options,
                                detail::NetLimit& limit, std::error_code& error);

}  // namespace hamgam::inline HAMGAM_ABI::net
