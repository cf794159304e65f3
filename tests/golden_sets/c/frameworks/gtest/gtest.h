// As much of GoogleTest as the generated program uses; tests run when the program starts.
#ifndef GTEST_H
#define GTEST_H

#include <iostream>

static int gtest_failed;

struct GtestLine {
    template <typename T> GtestLine &operator<<(const T &value)
    {
        std::cout << value;
        return *this;
    }
    ~GtestLine() { std::cout << "\n"; }
};

// Takes the place of a void value, as in GoogleTest.
struct GtestVoid {
    void operator=(const GtestLine &) const {}
};

#define GTEST_SKIP() return GtestVoid() = GtestLine() << "skipped: "
#define EXPECT_EQ(a, b)         \
    if ((a) == (b)) {           \
    } else                      \
        GtestLine() << (gtest_failed = 1, "failed: ")
#define TEST(suite, test)                              \
    static void suite##_##test();                      \
    static int run_##suite##_##test = (std::cout << #test << "\n", suite##_##test(), 0); \
    static void suite##_##test()

int main()
{
    return gtest_failed;
}

#endif
