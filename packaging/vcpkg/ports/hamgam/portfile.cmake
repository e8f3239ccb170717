# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# An overlay port: it builds the tree that it lies in, whatever that is.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)

vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DHAMGAM_BUILD_TESTS=OFF
    -DHAMGAM_BUILD_EXAMPLES=OFF
    -DHAMGAM_BUILD_BENCH=OFF
    -DHAMGAM_BUILD_MUTEXES=OFF
    -DHAMGAM_INSTALL=ON
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/hamgam)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
