//! JUnit, for CI.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::Error;

/// One test case per name, failed if it has obstacles; reasons of the whole are a case of their own.
pub fn report(
    name: &str,
    cases: &[(String, Vec<String>)],
    reasons: &[String],
) -> Result<String, Error> {
    let mut suite = TestSuite::new(name);
    let whole = (name.to_owned(), reasons.to_vec());
    let whole = (!reasons.is_empty() || cases.is_empty()).then_some(&whole);
    for (case, obstacles) in cases.iter().chain(whole) {
        let status = if obstacles.is_empty() {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(obstacles.join("; "));
            status
        };
        suite.add_test_case(TestCase::new(case.as_str(), status));
    }
    let mut report = Report::new(name);
    report.add_test_suite(suite);
    report.to_string().map_err(Error::output)
}
