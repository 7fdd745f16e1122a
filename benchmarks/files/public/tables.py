"""Rows with a target of two classes."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.files.public.making import FIRST, Random, make_lines, write_csv


def bank_marketing(folder: Path, random: Random) -> Path:
    """UCI bank marketing: semicolons, all words in quotes, `unknown` as a word of its own."""
    rows: list[list[Any]] = []
    for _ in range(3000):
        said = random.random() < 0.12
        rows.append(
            [
                int(random.integers(18, 90)),
                random.choice(["admin.", "blue-collar", "technician", "retired", "unknown"]),
                random.choice(["married", "single", "divorced"]),
                random.choice(["no", "unknown", "yes"], p=[0.78, 0.2, 0.02]),
                random.choice(["yes", "no"]),
                int(random.integers(5, 1500) * (2 if said else 1)),
                int(random.integers(1, 10)),
                round(float(random.normal(93.5, 0.6)), 3),
                "yes" if said else "no",
            ]
        )
    header = ["age", "job", "marital", "default", "housing", "duration", "campaign", "cons.price.idx", "y"]
    return write_csv(folder / "bank-additional-full.csv", header, rows, delimiter=";", quoting=csv.QUOTE_NONNUMERIC)


def excel_customers(folder: Path, random: Random) -> Path:
    """Customers saved by a German Excel: a byte order mark, semicolons, percent, thousands points, Ja and Nein."""
    rows = []
    for place in range(1200):
        left = random.random() < 0.2
        income = f"{random.integers(1200, 9000):,}".replace(",", ".") + f",{random.integers(0, 100):02}"
        rows.append(
            [
                f"K{place:05}",
                int(random.integers(18, 80)),
                income,
                f"{random.random() * 9:.1f} %".replace(".", ","),
                random.choice(["Basis", "Komfort", "Premium"]),
                f"{FIRST - timedelta(days=int(random.integers(100, 3000))):%d.%m.%Y}",
                "Ja" if left else "Nein",
            ]
        )
    header = ["KundenNr", "Alter", "Einkommen", "Rabatt", "Tarif", "Vertragsbeginn", "Gekündigt"]
    return write_csv(folder / "kunden.csv", header, rows, delimiter=";", encoding="utf-8-sig")


def telco_churn(folder: Path, random: Random) -> Path:
    """IBM's Telco customers: Yes and No, a blank for a missing charge, a flag of 0 and 1, an id of each row."""
    rows: list[list[Any]] = []
    for place in range(2000):
        months = int(random.integers(0, 72))
        charge = round(float(random.uniform(18, 118)), 2)
        rows.append(
            [
                f"{7590 + place}-{'VHVEG'[place % 5]}{'NOTDE'[place % 3]}X",
                random.choice(["Female", "Male"]),
                int(random.random() < 0.16),
                random.choice(["Yes", "No"]),
                months,
                random.choice(["DSL", "Fiber optic", "No"]),
                random.choice(["No", "Yes", "No internet service"]),
                charge,
                " " if months == 0 else round(charge * months, 2),
                "Yes" if random.random() < 0.27 else "No",
            ]
        )
    header = [
        "customerID",
        "gender",
        "SeniorCitizen",
        "Partner",
        "tenure",
        "InternetService",
        "OnlineSecurity",
        "MonthlyCharges",
        "TotalCharges",
        "Churn",
    ]
    return write_csv(folder / "WA_Fn-UseC_-Telco-Customer-Churn.csv", header, rows)


def titanic(folder: Path, random: Random) -> Path:
    """Titanic: a flag as target, names and tickets that are almost another one in each row, missing ages and cabins."""
    rows: list[list[Any]] = []
    for place in range(1, 892):
        age = "" if random.random() < 0.2 else float(random.integers(1, 75))
        cabin = "" if random.random() < 0.77 else f"{random.choice(list('ABCDE'))}{random.integers(1, 60)}"
        rows.append(
            [
                place,
                int(random.random() < 0.38),
                int(random.integers(1, 4)),
                f"Family{place}, Mr. Given{random.integers(300)}",
                random.choice(["male", "female"]),
                age,
                int(random.integers(0, 4)),
                f"A/5 {20_000 + place}",
                round(float(random.uniform(5, 90)), 4),
                cabin,
                random.choice(["S", "C", "Q"]),
            ]
        )
    header = ["PassengerId", "Survived", "Pclass", "Name", "Sex", "Age", "SibSp", "Ticket", "Fare", "Cabin", "Embarked"]
    return write_csv(folder / "train.csv", header, rows)


def census(folder: Path, random: Random) -> Path:
    """UCI adult as Kaggle has it: two classes of money in words, and question marks for what is unknown."""
    rows: list[list[Any]] = [
        [
            int(random.integers(17, 90)),
            random.choice(["Private", "Self-emp", "State-gov", "?"]),
            int(random.integers(12_285, 1_484_705)),
            random.choice(["HS-grad", "Bachelors", "Masters"]),
            random.choice(["Male", "Female"]),
            int(random.choice([0, 0, 0, 7688])),
            int(random.integers(10, 70)),
            ">50K" if random.random() < 0.24 else "<=50K",
        ]
        for _ in range(2500)
    ]
    header = ["age", "workclass", "fnlwgt", "education", "gender", "capital-gain", "hours-per-week", "income"]
    return write_csv(folder / "adult.csv", header, rows)


def credit_default(folder: Path, random: Random) -> Path:
    """UCI default of credit card clients: only numbers, a long name of the target, an id of each row."""
    rows: list[list[Any]] = [
        [
            place,
            int(random.integers(1, 80)) * 10_000,
            int(random.integers(1, 3)),
            int(random.integers(1, 5)),
            int(random.integers(21, 70)),
            int(random.integers(-2, 4)),
            int(random.integers(-200, 90_000)),
            int(random.random() < 0.22),
        ]
        for place in range(1, 2001)
    ]
    header = ["ID", "LIMIT_BAL", "SEX", "EDUCATION", "AGE", "PAY_0", "BILL_AMT1", "default.payment.next.month"]
    return write_csv(folder / "UCI_Credit_Card.csv", header, rows)


def attrition(folder: Path, random: Random) -> Path:
    """IBM's employees: the target in the second column, three columns with one value, a number of each employee."""
    rows: list[list[Any]] = [
        [
            int(random.integers(18, 60)),
            "Yes" if random.random() < 0.16 else "No",
            random.choice(["Travel_Rarely", "Travel_Frequently", "Non-Travel"]),
            int(random.integers(100, 1500)),
            1,
            place * 2 + 1,
            random.choice(["Female", "Male"]),
            int(random.integers(1009, 19_999)),
            "Y",
            random.choice(["Yes", "No"]),
            80,
            int(random.integers(0, 40)),
        ]
        for place in range(1470)
    ]
    header = [
        "Age",
        "Attrition",
        "BusinessTravel",
        "DailyRate",
        "EmployeeCount",
        "EmployeeNumber",
        "Gender",
        "MonthlyIncome",
        "Over18",
        "OverTime",
        "StandardHours",
        "YearsAtCompany",
    ]
    return write_csv(folder / "WA_Fn-UseC_-HR-Employee-Attrition.csv", header, rows)


def cross_sell(folder: Path, random: Random) -> Path:
    """Insurance customers: several flags of 0 and 1 beside the target, which is called Response."""
    rows: list[list[Any]] = [
        [
            place,
            random.choice(["Male", "Female"]),
            int(random.integers(20, 85)),
            int(random.random() < 0.99),
            float(random.integers(0, 53)),
            int(random.random() < 0.46),
            random.choice(["< 1 Year", "1-2 Year", "> 2 Years"]),
            random.choice(["Yes", "No"]),
            float(random.integers(2630, 540_165)),
            int(random.integers(10, 300)),
            int(random.random() < 0.12),
        ]
        for place in range(1, 2001)
    ]
    header = [
        "id",
        "Gender",
        "Age",
        "Driving_License",
        "Region_Code",
        "Previously_Insured",
        "Vehicle_Age",
        "Vehicle_Damage",
        "Annual_Premium",
        "Vintage",
        "Response",
    ]
    return write_csv(folder / "train.csv", header, rows)


def loans(folder: Path, random: Random) -> Path:
    """Applications for loans: gaps in most columns, 3+ among numbers, Y and N as classes, an id of each row."""

    def gap(value: Any) -> Any:
        return "" if random.random() < 0.05 else value

    rows: list[list[Any]] = [
        [
            f"LP{place:06}",
            gap(random.choice(["Male", "Female"])),
            gap(random.choice(["Yes", "No"])),
            gap(random.choice(["0", "1", "2", "3+"])),
            random.choice(["Graduate", "Not Graduate"]),
            int(random.integers(150, 20_000)),
            gap(float(random.integers(9, 600))),
            gap(float(random.random() < 0.84)),
            random.choice(["Urban", "Rural", "Semiurban"]),
            "Y" if random.random() < 0.69 else "N",
        ]
        for place in range(1001, 1615)
    ]
    header = [
        "Loan_ID",
        "Gender",
        "Married",
        "Dependents",
        "Education",
        "ApplicantIncome",
        "LoanAmount",
        "Credit_History",
        "Property_Area",
        "Loan_Status",
    ]
    return write_csv(folder / "loan_train.csv", header, rows)


def hotel_bookings(folder: Path, random: Random) -> Path:
    """Hotel bookings: NULL as a word, parts of a date in columns of their own, and a column that states the target."""
    rows: list[list[Any]] = []
    for line in make_lines(random):
        is_canceled = int(random.random() < 0.37)
        status = random.choice(["Canceled", "No-Show"], p=[0.97, 0.03]) if is_canceled else "Check-Out"
        rows.append(
            [
                ("Resort Hotel", "City Hotel")[line.item % 2],
                is_canceled,
                int(random.integers(0, 400)),
                line.at.year,
                f"{line.at:%B}",
                int(random.integers(1, 4)),
                random.choice(["BB", "HB", "SC"]),
                random.choice(["PRT", "GBR", "NULL"]),
                "NULL" if random.random() < 0.4 else int(random.integers(1, 300)),
                round(float(random.uniform(20, 400)), 2),
                status,
                f"{line.at:%Y-%m-%d}",
            ]
        )
    header = [
        "hotel",
        "is_canceled",
        "lead_time",
        "arrival_date_year",
        "arrival_date_month",
        "adults",
        "meal",
        "country",
        "agent",
        "adr",
        "reservation_status",
        "reservation_status_date",
    ]
    return write_csv(folder / "hotel_bookings.csv", header, rows)


def mushrooms(folder: Path, random: Random) -> Path:
    """UCI mushrooms: letters for words, the class in the first column, one column that never changes."""
    rows = [
        [
            "e" if random.random() < 0.52 else "p",
            random.choice(list("xbsfk")),
            random.choice(["t", "f"]),
            random.choice(list("alnpc")),
            "p",
            random.choice(["e", "t"]),
            random.choice(list("ebcr?")),
            random.choice(list("sndw")),
        ]
        for _ in range(2000)
    ]
    header = ["class", "cap-shape", "bruises", "odor", "veil-type", "stalk-shape", "stalk-root", "habitat"]
    return write_csv(folder / "mushrooms.csv", header, rows)


def payments(folder: Path, random: Random) -> Path:
    """PaySim: payments with a step of time, accounts of both sides, a rare flag of fraud beside another flag."""
    rows: list[list[Any]] = [
        [
            int(random.integers(1, 700)),
            random.choice(["PAYMENT", "TRANSFER", "CASH_OUT", "DEBIT"]),
            round(float(random.gamma(1.0, 90_000.0)), 2),
            f"C{random.integers(1_000_000_000, 2_000_000_000)}",
            round(float(random.gamma(1.0, 400_000.0)), 2),
            f"{random.choice(['C', 'M'])}{random.integers(1_000_000, 1_000_900)}",
            int(random.random() < 0.03),
            int(random.random() < 0.002),
        ]
        for _ in range(3000)
    ]
    header = ["step", "type", "amount", "nameOrig", "oldbalanceOrg", "nameDest", "isFraud", "isFlaggedFraud"]
    return write_csv(folder / "PS_20174392719_1491204439457_log.csv", header, rows)


def stroke(folder: Path, random: Random) -> Path:
    """Patients with and without a stroke: N/A for a missing number, Unknown as a word, two more flags."""
    rows: list[list[Any]] = [
        [
            place * 7 + 67,
            random.choice(["Male", "Female"]),
            float(random.integers(1, 83)),
            int(random.random() < 0.1),
            int(random.random() < 0.05),
            random.choice(["Yes", "No"]),
            random.choice(["Private", "Self-employed", "Govt_job"]),
            round(float(random.uniform(55, 270)), 2),
            "N/A" if random.random() < 0.04 else round(float(random.uniform(15, 50)), 1),
            random.choice(["never smoked", "smokes", "Unknown"]),
            int(random.random() < 0.05),
        ]
        for place in range(2500)
    ]
    header = [
        "id",
        "gender",
        "age",
        "hypertension",
        "heart_disease",
        "ever_married",
        "work_type",
        "avg_glucose_level",
        "bmi",
        "smoking_status",
        "stroke",
    ]
    return write_csv(folder / "healthcare-dataset-stroke-data.csv", header, rows)


def spam(folder: Path, random: Random) -> Path:
    """Shares of words in messages, and whether they are spam."""
    rows: list[list[Any]] = [
        [
            *(round(float(random.exponential(0.3)), 2) if random.random() < 0.4 else 0 for _ in range(4)),
            int(random.integers(1, 900)),
            int(random.random() < 0.39),
        ]
        for _ in range(2300)
    ]
    header = ["word_freq_make", "word_freq_free", "word_freq_money", "char_freq_!", "capital_run_length_total", "spam"]
    return write_csv(folder / "spambase.csv", header, rows)


def airline(folder: Path, random: Random) -> Path:
    """Passengers and whether they were satisfied: an index without a name of its own, classes in several words."""
    rows: list[list[Any]] = [
        [
            place,
            70_172 + place * 3,
            random.choice(["Male", "Female"]),
            random.choice(["Loyal Customer", "disloyal Customer"]),
            int(random.integers(7, 85)),
            random.choice(["Eco", "Business", "Eco Plus"]),
            int(random.integers(31, 4983)),
            int(random.integers(0, 6)),
            "" if random.random() < 0.003 else float(random.integers(0, 300)),
            "satisfied" if random.random() < 0.43 else "neutral or dissatisfied",
        ]
        for place in range(2500)
    ]
    header = [
        "Unnamed: 0",
        "id",
        "Gender",
        "Customer Type",
        "Age",
        "Class",
        "Flight Distance",
        "Inflight wifi service",
        "Arrival Delay in Minutes",
        "satisfaction",
    ]
    return write_csv(folder / "train.csv", header, rows)


def claims(folder: Path, random: Random) -> Path:
    """Insurance policies and whether a claim came: an id of each row, flags of Yes and No, a ratio as text."""
    rows: list[list[Any]] = [
        [
            f"ID{place:05}",
            round(float(random.uniform(0, 1.4)), 6),
            f"C{random.integers(1, 22)}",
            random.choice(["Petrol", "CNG", "Diesel"]),
            random.choice(["Yes", "No"]),
            random.choice(["Yes", "No"]),
            int(random.integers(2, 7)),
            int(random.random() < 0.064),
        ]
        for place in range(1, 3001)
    ]
    header = [
        "policy_id",
        "policy_tenure",
        "area_cluster",
        "fuel_type",
        "is_esc",
        "is_parking_sensors",
        "airbags",
        "claim_status",
    ]
    return write_csv(folder / "claims.csv", header, rows)


def shoppers(folder: Path, random: Random) -> Path:
    """Sessions of an online shop: TRUE and FALSE in two columns, of which the last one says whether something was bought."""
    rows: list[list[Any]] = [
        [
            int(random.integers(0, 28)),
            round(float(random.exponential(80.0)), 6),
            round(float(random.uniform(0, 0.2)), 9),
            random.choice(["Feb", "Mar", "Nov", "Dec"]),
            random.choice(["Returning_Visitor", "New_Visitor", "Other"]),
            random.choice(["TRUE", "FALSE"]),
            "TRUE" if random.random() < 0.155 else "FALSE",
        ]
        for _ in range(2500)
    ]
    header = ["Administrative", "Administrative_Duration", "BounceRates", "Month", "VisitorType", "Weekend", "Revenue"]
    return write_csv(folder / "online_shoppers_intention.csv", header, rows)


def bank_customers(folder: Path, random: Random) -> Path:
    """Customers of a bank: the number of the row and that of the customer, names of families, three flags."""
    rows: list[list[Any]] = [
        [
            place,
            15_565_701 + place * 13 % 100_003,
            random.choice(["Hill", "Smith", "Chu", "Ricci", "Onio"]),
            int(random.integers(350, 850)),
            random.choice(["France", "Spain", "Germany"]),
            random.choice(["Female", "Male"]),
            int(random.integers(18, 92)),
            round(float(random.uniform(0, 250_000)), 2),
            int(random.random() < 0.7),
            int(random.random() < 0.5),
            int(random.random() < 0.2),
        ]
        for place in range(1, 2501)
    ]
    header = [
        "RowNumber",
        "CustomerId",
        "Surname",
        "CreditScore",
        "Geography",
        "Gender",
        "Age",
        "Balance",
        "HasCrCard",
        "IsActiveMember",
        "Exited",
    ]
    return write_csv(folder / "Churn_Modelling.csv", header, rows)


def labelled_churn(folder: Path, random: Random) -> Path:
    """Customers with their churn in a word and in a number, and a reason that only those have who left."""
    rows: list[list[Any]] = []
    for place in range(2000):
        has_left = random.random() < 0.27
        reason = random.choice(["Competitor", "Moved", "Price"]) if has_left else ""
        months, plan = int(random.integers(1, 72)), random.choice(["Month-to-month", "One year", "Two year"])
        rows.append([f"{place:04}-ABCDE", months, plan, round(float(random.uniform(18, 118)), 2), "Yes" if has_left else "No"])
        rows[-1] += [int(has_left), reason]
    header = ["CustomerID", "Tenure Months", "Contract", "Monthly Charges", "Churn Label", "Churn Value", "Churn Reason"]
    return write_csv(folder / "Telco_customer_churn.csv", header, rows)
