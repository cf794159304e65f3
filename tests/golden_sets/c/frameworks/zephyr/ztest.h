/* As much of Zephyr's ztest as the generated program uses; tests run when the program starts. */
#ifndef ZTEST_H
#define ZTEST_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int ztest_failed;

#define ZTEST_SUITE(suite, ...) typedef int ztest_suite_of_##suite
#define ZTEST(suite, test)                                        \
    static void suite##_##test(void);                             \
    __attribute__((constructor)) static void run_##suite##_##test(void) \
    {                                                             \
        printf("%s\n", #test);                                    \
        suite##_##test();                                         \
    }                                                             \
    static void suite##_##test(void)

static inline void ztest_test_skip(void)
{
    printf("skipped\n");
}

#define zassert_equal(a, b, message)         \
    do {                                     \
        if ((a) != (b)) {                    \
            printf("failed: %s\n", message); \
            ztest_failed = 1;                \
        }                                    \
    } while (0)

int main(void)
{
    return ztest_failed;
}

#endif
