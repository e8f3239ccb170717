# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# Runs a port without vcpkg: cmake -DPORT_DIR=... -DBUILD=... -DCURRENT_PACKAGES_DIR=... -P this file.
# The helpers that a portfile calls do here what vcpkg's do, with one difference: what is configured
# is not built, the libraries are those of the folder BUILD.
cmake_minimum_required(VERSION 3.25)
cmake_path(GET PORT_DIR FILENAME PORT)

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result OR output MATCHES "Manually-specified variables were not used")
    message(FATAL_ERROR "${ARGV}: ${output}")
  endif()
endfunction()

macro(vcpkg_cmake_configure)
  cmake_parse_arguments(configure "" "SOURCE_PATH" "OPTIONS" ${ARGN})
  if(configure_UNPARSED_ARGUMENTS OR NOT EXISTS "${configure_SOURCE_PATH}/CMakeLists.txt")
    message(FATAL_ERROR "vcpkg_cmake_configure(${ARGN})")
  endif()
  set(tree ${CURRENT_PACKAGES_DIR}.build)
  run(${CMAKE_COMMAND} -S ${configure_SOURCE_PATH} -B ${tree} -DCMAKE_BUILD_TYPE=Release
    -DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR} -DBUILD_SHARED_LIBS=OFF ${configure_OPTIONS})
endmacro()

macro(vcpkg_cmake_install)
  file(COPY ${BUILD}/libhamgam.a DESTINATION ${tree})
  run(${CMAKE_COMMAND} --install ${tree})
endmacro()

macro(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(fixup "" "CONFIG_PATH" "" ${ARGN})
  file(COPY ${CURRENT_PACKAGES_DIR}/${fixup_CONFIG_PATH}/
    DESTINATION ${CURRENT_PACKAGES_DIR}/share/${PORT})
  file(REMOVE_RECURSE ${CURRENT_PACKAGES_DIR}/${fixup_CONFIG_PATH})
  # Paths are counted from the file, and it is one folder higher now.
  file(GLOB files ${CURRENT_PACKAGES_DIR}/share/${PORT}/*.cmake)
  foreach(file IN LISTS files)
    file(READ ${file} text)
    string(REGEX REPLACE "get_filename_component\\(_IMPORT_PREFIX \"\\\${CMAKE_CURRENT_LIST_FILE}\" PATH\\)(\nget_filename_component\\(_IMPORT_PREFIX \"\\\${_IMPORT_PREFIX}\" PATH\\))*"
      "get_filename_component(_IMPORT_PREFIX \"\${CMAKE_CURRENT_LIST_FILE}\" PATH)\nget_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\nget_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)"
      text "${text}")
    string(REPLACE "/../../../\" ABSOLUTE" "/../../\" ABSOLUTE" text "${text}")
    file(WRITE ${file} "${text}")
  endforeach()
endmacro()

macro(vcpkg_fixup_pkgconfig)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/lib/pkgconfig/${PORT}.pc)
    message(FATAL_ERROR "no .pc file")
  endif()
endmacro()

macro(vcpkg_install_copyright)
  cmake_parse_arguments(copyright "" "" "FILE_LIST" ${ARGN})
  file(INSTALL ${copyright_FILE_LIST} DESTINATION ${CURRENT_PACKAGES_DIR}/share/${PORT} RENAME copyright)
endmacro()

include(${PORT_DIR}/portfile.cmake)

file(READ ${PORT_DIR}/vcpkg.json manifest)
string(JSON name GET "${manifest}" name)
string(JSON version GET "${manifest}" version-semver)
file(READ ${CURRENT_PACKAGES_DIR}/share/${PORT}/${PORT}ConfigVersion.cmake text)
if(NOT name STREQUAL PORT OR NOT text MATCHES "PACKAGE_VERSION \"${version}\"")
  message(FATAL_ERROR "vcpkg.json says ${name} ${version}, the library another name or version")
endif()
foreach(file IN ITEMS copyright usage)
  if(NOT EXISTS ${CURRENT_PACKAGES_DIR}/share/${PORT}/${file})
    message(FATAL_ERROR "the port installs no ${file}")
  endif()
endforeach()
