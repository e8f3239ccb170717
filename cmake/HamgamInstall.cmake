# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# Headers, libraries, the package files for find_package(hamgam) and for pkg-config. The component
# hamgam_runtime is what programs need to run, hamgam_dev what they are built with.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/hamgam)
install(TARGETS ${hamgam_libraries} EXPORT hamgamTargets
  LIBRARY COMPONENT hamgam_runtime NAMELINK_COMPONENT hamgam_dev
  ARCHIVE COMPONENT hamgam_dev)
install(DIRECTORY include/hamgam DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT hamgam_dev
  FILES_MATCHING PATTERN "*.h")
install(EXPORT hamgamTargets NAMESPACE hamgam:: DESTINATION ${package_dir} COMPONENT hamgam_dev)

configure_package_config_file(cmake/hamgamConfig.cmake.in hamgamConfig.cmake
  INSTALL_DESTINATION ${package_dir})
# Before 1.0 each minor version may break what the former promised.
write_basic_package_version_file(hamgamConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  cmake/hamgamAsio.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/hamgamConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/hamgamConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT hamgam_dev)

# The same for whoever compiles by hand: config.h reads it.
set(hamgam_build_lines ${hamgam_sanitizer_definitions})
if(HAMGAM_CONTEXT STREQUAL "ucontext")
  list(APPEND hamgam_build_lines HAMGAM_CONTEXT_UCONTEXT=1)
endif()
list(TRANSFORM hamgam_build_lines REPLACE "^(.+)=(.+)$"
  "#if !defined(\\1)\n#define \\1 \\2\n#endif")
list(JOIN hamgam_build_lines "\n" hamgam_build_lines)
configure_file(cmake/hamgam_build.h.in hamgam_build.h @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/hamgam_build.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/hamgam/detail COMPONENT hamgam_dev)

# The .pc file says what a program needs beyond -lhamgam: the definitions and sanitizers this build
# was made with.
list(TRANSFORM hamgam_sanitizer_definitions PREPEND -D OUTPUT_VARIABLE pc_definitions)
if(HAMGAM_CONTEXT STREQUAL "ucontext")
  list(APPEND pc_definitions -DHAMGAM_CONTEXT_UCONTEXT=1)
endif()
list(JOIN pc_definitions " " pc_definitions)
set(pc_cflags ${hamgam_sanitizer_options})
if(HAMGAM_HAS_STACK_CLASH_PROTECTION)
  list(APPEND pc_cflags -fstack-clash-protection)
endif()
list(JOIN pc_cflags " " pc_cflags)
list(JOIN hamgam_sanitizer_link_options " " pc_ldflags)
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(pc_libdir "${CMAKE_INSTALL_LIBDIR}")
else()
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
# How far the .pc file lies below the prefix, so that an installed tree can be moved.
file(RELATIVE_PATH pc_up "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
string(REGEX REPLACE "/$" "" pc_up "${pc_up}")
configure_file(cmake/hamgam.pc.in hamgam.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/hamgam.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT hamgam_dev)

# What gives reports their lines of the source.
install(PROGRAMS tools/hamgam-symbolize DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT hamgam_dev)

# For gdb. Where it looks for the script of a shared library by itself is a folder that mirrors the
# system's; with another prefix than its own, people `source` the first.
install(FILES tools/gdb/hamgam-gdb.py DESTINATION ${CMAKE_INSTALL_DATADIR}/hamgam/gdb COMPONENT hamgam_dev)
if(TARGET hamgam_shared AND NOT IS_ABSOLUTE "${CMAKE_INSTALL_DATADIR}")
  install(FILES tools/gdb/hamgam-gdb.py COMPONENT hamgam_dev
    DESTINATION ${CMAKE_INSTALL_DATADIR}/gdb/auto-load${CMAKE_INSTALL_FULL_LIBDIR}
    RENAME $<TARGET_FILE_NAME:hamgam_shared>-gdb.py)
endif()
