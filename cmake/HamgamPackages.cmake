# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
#
# Debian packages, by CPack: in a build folder that was configured with CMAKE_INSTALL_PREFIX=/usr,
# `cpack -G DEB` makes
#   libhamgamX.Y      the shared library; its name is that of its binary interface
#   libhamgam-dev     what programs are built with
#   libhamgam-doc     documentation, also as a site (html/index.html), and examples
set(runtime_package libhamgam${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(CPACK_COMPONENTS_ALL hamgam_dev hamgam_doc)
if(TARGET hamgam_shared)
  list(PREPEND CPACK_COMPONENTS_ALL hamgam_runtime)
  set(CPACK_DEBIAN_HAMGAM_DEV_PACKAGE_DEPENDS
    "${runtime_package} (= ${PROJECT_VERSION}), libstdc++-dev | libc++-dev")
endif()

# Only into packages, not by cmake --install.
install(FILES README.md CHANGELOG.md CONTRIBUTING.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libhamgam-doc
  COMPONENT hamgam_doc EXCLUDE_FROM_ALL)
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libhamgam-doc
  COMPONENT hamgam_doc EXCLUDE_FROM_ALL)
install(CODE "set(hamgam_site_dir ${CMAKE_INSTALL_DATADIR}/doc/libhamgam-doc/html)
  include(${CMAKE_CURRENT_LIST_DIR}/HamgamSite.cmake)"
  COMPONENT hamgam_doc EXCLUDE_FROM_ALL)

set(CPACK_DEBIAN_HAMGAM_RUNTIME_PACKAGE_NAME ${runtime_package})
set(CPACK_DEBIAN_HAMGAM_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_HAMGAM_DEV_PACKAGE_NAME libhamgam-dev)
set(CPACK_DEBIAN_HAMGAM_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_HAMGAM_DOC_PACKAGE_NAME libhamgam-doc)
set(CPACK_DEBIAN_HAMGAM_DOC_PACKAGE_SECTION doc)
set(CPACK_DEBIAN_HAMGAM_DOC_PACKAGE_ARCHITECTURE all)
foreach(component IN ITEMS RUNTIME DEV DOC)
  string(TOLOWER hamgam_${component} name)
  install(FILES LICENSE RENAME copyright COMPONENT ${name} EXCLUDE_FROM_ALL
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${CPACK_DEBIAN_HAMGAM_${component}_PACKAGE_NAME})
endforeach()
set(CPACK_COMPONENT_HAMGAM_RUNTIME_DESCRIPTION "The shared library.")
set(CPACK_COMPONENT_HAMGAM_DEV_DESCRIPTION "Headers, libraries, CMake package and pkg-config file.")
set(CPACK_COMPONENT_HAMGAM_DOC_DESCRIPTION "Documentation, as Markdown and as a site, and examples.")

# What the library needs of the system is asked of dpkg-shlibdeps, if it is here (dpkg-dev).
find_program(HAMGAM_SHLIBDEPS dpkg-shlibdeps)
mark_as_advanced(HAMGAM_SHLIBDEPS)
if(HAMGAM_SHLIBDEPS)
  set(CPACK_DEBIAN_HAMGAM_RUNTIME_PACKAGE_SHLIBDEPS ON)
else()
  set(CPACK_DEBIAN_HAMGAM_RUNTIME_PACKAGE_DEPENDS "libc6, libstdc++6")
endif()
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)  # also has ldconfig run

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_PACKAGE_NAME hamgam)
set(CPACK_PACKAGE_VENDOR "The Hamgam Authors")
set(CPACK_PACKAGE_CONTACT "The Hamgam Authors" CACHE STRING "Maintainer, in Debian packages")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
include(CPack)
