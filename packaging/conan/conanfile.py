# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Conan 2 recipe: `conan create packaging/conan` packages the tree that it lies in."""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load

TREE = ("CMakeLists.txt", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "cmake/*", "include/*",
        "src/*", "tools/hamgam-symbolize", "tools/gdb/*")


class Hamgam(ConanFile):
    name = "hamgam"
    description = "Go's concurrency toolkit for C++20"
    license = "Apache-2.0"
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}
    implements = ["auto_shared_fpic"]

    def _root(self):
        return os.path.normpath(os.path.join(self.recipe_folder, "..", ".."))

    def set_version(self):
        header = load(self, os.path.join(self._root(), "include/hamgam/version.h"))
        self.version = ".".join(re.findall(r"#define HAMGAM_VERSION_\w+ (\d+)", header))

    def export_sources(self):
        for pattern in TREE:
            copy(self, pattern, self._root(), self.export_sources_folder)

    def validate(self):
        check_min_cppstd(self, 20)
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("Hamgam runs on Linux only")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeToolchain(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))

    # Users find the package files that the library installs: they say which flags it needs.
    def package_info(self):
        self.cpp_info.libs = ["hamgam"]
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.builddirs = [os.path.join("lib", "cmake", "hamgam")]
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.set_property("pkg_config_name", "hamgam")
