// Opens the library as the daemon does, through the daemon's own shim.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "shim.h"

extern "C" fm_api const* fieldmark_tensorrt_trt11(void);

static void say(void*, int32_t severity, char const* text)
{
    if (severity <= 1)
    {
        printf("NVIDIA says: %s\n", text);
    }
}

static int failed(char const* why)
{
    printf("FAIL: %s\n", why);
    return 1;
}

int main(int count, char** arguments)
{
    if (count != 4)
    {
        return failed("usage: check LIBRARY MAJOR MINOR");
    }
    void* library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
    {
        return failed(dlerror());
    }
    using Number = int32_t (*)();
    auto major = reinterpret_cast<Number>(dlsym(library, "getInferLibMajorVersion"));
    auto minor = reinterpret_cast<Number>(dlsym(library, "getInferLibMinorVersion"));
    if (major == nullptr || minor == nullptr)
    {
        return failed("the library does not tell its version");
    }
    fm_api const* table = fieldmark_tensorrt_trt11();
    printf("library %d.%d, shim for %d.%d.%d\n", major(), minor(), table->major, table->minor, table->patch);
    if (major() != atoi(arguments[2]) || minor() != atoi(arguments[3]) || table->major != major())
    {
        return failed("another version than the one that was fetched");
    }
    void* logger = table->logger_new(say, nullptr);
    void* runtime = table->runtime_new(dlsym(library, "createInferRuntime_INTERNAL"), logger);
    printf("runtime without a GPU: %s\n", runtime == nullptr ? "none, as it must be" : "one");
    bool const good = runtime == nullptr;
    table->logger_free(logger);
    return good ? 0 : failed("a runtime where there is no GPU");
}
